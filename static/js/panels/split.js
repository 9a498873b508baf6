/**
 * Splitting a cluster by hand: pick it on the map, choose the number of parts, see them, make them. Parts of a cluster of
 * several leaves come from the tree, at once; a single leaf is cut by the server, which sends what it would look like.
 */
import { formatArea, formatPixels, formatShare } from "../model/areas.js";
import { PART_COLORS } from "../model/splits.js";
import { newClientId } from "../sync.js";
import { byId, byTestId, debounced, el, setMessage } from "./dom.js";

const PICK = "Click the cluster to split.";
const SHARED = "Everybody will see the parts as clusters of their own, at every granularity.";
const PAUSE = 350; // ms that the number of parts must rest before the server cuts a leaf

/** What to say of a split that the server is making. */
const percent = (share) => `${Math.round(share * 100)}%`;

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../tools.js").Tools} tools
 * @param {import("../commands.js").Commands} commands
 * @param {import("../sync.js").Sync} sync
 * @returns {{toggle: () => void, close: () => boolean}}
 */
export function splitPanel(state, tools, commands, sync) {
    const panel = byId("split-panel");
    const openButton = byTestId("split-open");
    const count = byTestId("split-count");
    const list = byTestId("split-preview");
    const apply = byTestId("split-apply");
    const bar = byId("split-progress");
    const notice = byId("split-notice");
    let cluster = null;
    let leaf = null; // of a cluster that is a single leaf
    let segmentation = null;
    let parts = [];
    let asked = null; // client id of the preview that the server is making
    let askedParts = 0;
    let made = null; // client id of the split that was asked for

    function swatch(index) {
        const square = el("span", { class: "swatch" });
        square.style.backgroundColor = `rgb(${PART_COLORS[index].join(" ")})`;
        return square;
    }

    function extentOf({ ranges, pixels }) {
        if (!state.statistics) return "counting …";
        const { values, inArea, pixels: counts } = state.statistics;
        const whole = state.extent(cluster);
        // Of a leaf that is only tried out the server tells pixels; its area goes with them.
        const ofPixels = (total) => (counts[leaf] ? (pixels / counts[leaf]) * total : NaN);
        const value = pixels === undefined ? state.clusters.sumOver(values, ranges) : ofPixels(values[leaf]);
        const share = pixels === undefined ? value / whole.value : ofPixels(1);
        const size = inArea ? formatArea(value) : formatPixels(value);
        return `${size} · ${formatShare(share)} of it`;
    }

    function showParts(trial = null) {
        const items = parts.map((part, index) => el("li", {}, swatch(index), el("span", { class: "number" }, extentOf(part))));
        list.replaceChildren(...items);
        apply.disabled = parts.length < 2;
        state.setSplitPreview(parts.length ? { parts: parts.map(({ ranges }) => ranges), trial } : null);
    }

    /** Let the server cut the leaf, for this browser alone. */
    function askServer() {
        if (leaf === null || asked) return;
        const { id, version } = state.segmentation;
        asked = newClientId();
        askedParts = Number(count.value);
        const fields = { segmentation: id, version, leaf, parts: askedParts };
        bar.value = 0;
        bar.hidden = !sync.socket.send({ type: "split.preview", client_id: asked, ...fields });
        if (!bar.hidden) return;
        asked = null;
        setMessage(byId("split-error"), "There is no connection; the parts show as soon as it is back.");
    }

    const askSoon = debounced(askServer, PAUSE);

    function previewed({ client_id: id, leaf: cut, first, pixels }) {
        if (id !== asked) {
            commands.cancelSplit(); // nobody waits for it any more
            return;
        }
        asked = null;
        bar.hidden = true;
        if (cut !== leaf) return;
        if (askedParts !== Number(count.value)) {
            askServer(); // the hand on the slider has gone on
            return;
        }
        parts = pixels.map((value, index) => ({ ranges: [[first + index, first + index + 1]], pixels: value }));
        showParts({ leaf, first, n: pixels.length });
    }

    /** Cut the picked cluster anew: it, or the number of parts, has changed. */
    function cut() {
        byId("split-count-value").textContent = count.value;
        setMessage(byId("split-error"), "");
        if (leaf === null) {
            parts = state.clusters.partsOf(cluster.node, Number(count.value));
            showParts();
            return;
        }
        apply.disabled = true;
        askSoon();
    }

    function pick(chosen, clickedLeaf) {
        dropTrial();
        cluster = chosen;
        segmentation = state.segmentation;
        const most = state.clusters.partsOf(chosen.node, Number(count.getAttribute("max"))).length;
        leaf = most < 2 ? clickedLeaf : null;
        parts = [];
        byId("split-hint").textContent = SHARED;
        if (leaf === null) count.max = most;
        else if (state.segmentation.state !== "complete") {
            leaf = null;
            setMessage(byId("split-error"), "This is a single leaf; it can be split once the segmentation is complete.");
            showParts();
            return;
        }
        byId("split-body").hidden = false;
        cut();
    }

    /** The server need not keep what was tried out. */
    function dropTrial() {
        count.max = 8;
        bar.hidden = true;
        if (leaf !== null) commands.cancelSplit();
        leaf = null;
        asked = null;
    }

    function close({ keepsPreview = false } = {}) {
        if (panel.hidden) return false;
        panel.hidden = true;
        if (keepsPreview) leaf = null;
        dropTrial();
        cluster = null;
        parts = [];
        byId("split-body").hidden = true;
        if (!keepsPreview) state.setSplitPreview(null);
        if (tools.tool === "split") tools.setTool("pan");
        return true;
    }

    function open() {
        panel.hidden = false;
        apply.disabled = true;
        byId("split-hint").textContent = PICK;
        setMessage(byId("split-error"), "");
        tools.setTool("split");
    }

    const toggle = () => close() || open();

    openButton.addEventListener("click", toggle);
    byTestId("split-cancel").addEventListener("click", () => close());
    count.addEventListener("input", cut);
    panel.addEventListener("submit", (event) => {
        event.preventDefault();
        if (apply.disabled) return;
        if (leaf === null) {
            commands.splitCluster(cluster, parts.map(({ part }) => part));
            close();
        } else {
            // The preview stays until the event is there: its blocks are those of the split.
            made = commands.splitLeaf(leaf, { parts: Number(count.value) }).client_id;
            close({ keepsPreview: true });
        }
    });
    tools.on("pick", ({ cluster: chosen, leaf: clicked }) => pick(chosen, clicked));
    tools.on("tool", (tool) => {
        openButton.setAttribute("aria-pressed", String(tool === "split"));
        if (tool !== "split") close();
    });

    function settled({ event, command }) {
        if (command?.type === "leaf.split") setMessage(notice, "");
        if (made && event.client_id === made) {
            made = null;
            state.setSplitPreview(null);
        }
        if (asked && event.client_id === asked) {
            asked = null;
            bar.hidden = true;
            setMessage(byId("split-error"), event.message);
        }
    }

    sync.on("applied", settled);
    sync.on("rejected", settled);
    sync.on("split.previewed", previewed);
    sync.on("split.progress", ({ client_id: id, progress }) => {
        if (id === asked) bar.value = progress;
        const command = state.pending.find(({ client_id: own }) => own === id);
        if (command) setMessage(notice, `Splitting the pixels of this cluster … ${percent(progress)}`);
    });
    sync.socket.on("status", () => {
        asked = null; // a new connection knows nothing of it
        setMessage(notice, "");
        if (leaf !== null) askSoon();
    });
    state.on("state", () => cluster && state.segmentation?.id !== segmentation.id && close());
    state.on("splits", () => {
        if (leaf === null || state.segmentation.version === segmentation.version) return;
        close(); // others have split leaves: what was tried out is worth nothing now
    });
    state.on("statistics", () => cluster && leaf === null && showParts());
    return { toggle, close };
}
