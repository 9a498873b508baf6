/** `window.clusternet`: what docs/protocol.md promises to tests and to the curious. */
import { toLatLng } from "./layers/view.js";
import { zoomForPixelSize } from "./panels/place.js";

function nextFrame() {
    return new Promise((resolve) => requestAnimationFrame(resolve));
}

/** @param {object} page `state`, `sync`, `socket`, `ready`, and `parts` as soon as the map is there */
export function exposeForTests(page) {
    const { state, sync, socket } = page;
    const parts = () => {
        if (!page.parts) throw new Error("The map is not there yet; await clusternet.ready first.");
        return page.parts;
    };

    function isIdle() {
        if (!page.parts || !state.tree || state.pending.length || socket.status !== "online") return false;
        if (!sync.isInStep) return false;
        const { layer, loader, overrides } = page.parts;
        if (!layer.works) return true;
        if (!overrides.isIdle) return false;
        return !loader.isUnpacking && !loader.wantedCount && layer.shown() === layer.wanted().blocks.length;
    }

    window.clusternet = {
        ready: page.ready.then(() => true),
        state: Object.freeze({
            get cut() {
                return state.cut;
            },
            get mode() {
                return state.mode;
            },
            get classes() {
                return structuredClone(state.classes);
            },
            get table() {
                return state.table && Array.from(state.table);
            },
            get number() {
                return state.number;
            },
            get completion() {
                return { ...state.completion };
            },
            get completed() {
                return state.completedTable && Array.from(state.completedTable);
            },
            get prediction() {
                const { number, elapsedMs } = state.prediction ?? {};
                return state.prediction && { number, elapsedMs };
            },
        }),
        blocksShown: () => parts().layer.shown(),
        blocksHeld: () => parts().layer.held,
        blocksWanted: () => parts().layer.wanted().blocks.length,
        pixelToPoint: (row, col) => parts().layer.pixelToContainer(row, col),
        leafAt: (x, y) => parts().layer.leafAt({ x, y }),
        classAt(x, y) {
            const { layer } = parts();
            return state.classOfPixel(layer.leafAt({ x, y }), layer.overrideAt({ x, y }, state.overrides));
        },
        clusterAt: (x, y) => parts().tools.clusterAt({ x, y })?.node ?? null,
        goTo(row, col, zoomLevel) {
            const { map, layer } = parts();
            const snap = map.options.zoomSnap;
            map.options.zoomSnap = 0; // exactly so many screen pixels a scene pixel
            const zoom = zoomForPixelSize(map, layer, state.scene.info, row, col, zoomLevel);
            map.setView(toLatLng(map, state.scene.info, layer.grid.toPlane(row + 0.5, col + 0.5)), zoom, { animate: false });
            map.options.zoomSnap = snap;
        },
        colorAt(x, y) {
            const { layer } = parts();
            layer.flushColors();
            return layer.colorAt({ x, y });
        },
        colorsAt(points) {
            const { layer } = parts();
            layer.flushColors();
            return layer.colorsAt(points);
        },
        async whenIdle() {
            await page.ready;
            while (!isIdle()) await nextFrame();
            await nextFrame(); // whatever the last event changed is on the screen
        },
    };
    window.clusternet.ready.catch(() => {}); // the page tells it as a message
}
