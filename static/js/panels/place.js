/** Zoom, scale bar, coordinates under the cursor, go to a place. */
import { toLatLng } from "../layers/view.js";
import { formatLatLon, parseLatLon, parsePixel } from "../model/place.js";
import { mercator } from "../model/grid.js";
import { byId, byTestId, setMessage } from "./dom.js";

/** "120 px" or "1,200 px": the scale bar of a scene without CRS. */
const PixelScale = (info) =>
    L.Control.Scale.extend({
        _update() {
            const perUnit = this._map.getZoomScale(this._map.getZoom(), info.max_zoom); // screen pixels a scene pixel
            const longest = this.options.maxWidth / perUnit;
            const round = this._getRoundNum(Math.max(1, longest));
            this._updateScale(this._mScale, `${round.toLocaleString("en")} px`, round / longest);
        },
    });

/** Bounds of the whole scene for Leaflet. */
export function sceneBounds(map, info) {
    if (info.crs) {
        const [west, south, east, north] = info.bounds;
        return L.latLngBounds([south, west], [north, east]);
    }
    return L.latLngBounds(toLatLng(map, info, [0, 0]), toLatLng(map, info, [info.width, info.height]));
}

export function placePanel(map, layer, info) {
    const readout = byTestId("coordinates");
    const input = byTestId("goto-input");
    const form = byId("goto-form");
    const error = byId("goto-error");

    const options = { position: "bottomleft", imperial: false, maxWidth: 120 };
    (info.crs ? L.control.scale(options) : new (PixelScale(info))(options)).addTo(map);

    function describe(point) {
        const { row, col } = layer.containerToPixel(point);
        const pixel = `row ${Math.floor(row)}, col ${Math.floor(col)}`;
        const inside = layer.grid.contains({ row, col });
        if (!info.crs) return inside ? pixel : "";
        const { lat, lng } = map.containerPointToLatLng(point);
        return inside ? `${formatLatLon(lat, lng)} · ${pixel}` : formatLatLon(lat, lng);
    }

    map.on("mousemove", (event) => (readout.textContent = describe(event.containerPoint)));
    map.on("mouseout", () => (readout.textContent = ""));

    const fit = () => map.fitBounds(sceneBounds(map, info), { padding: [24, 24] });

    function go(text) {
        if (!info.crs) {
            const { row, col } = parsePixel(text, info.height, info.width);
            return map.setView(toLatLng(map, info, layer.grid.toPlane(row + 0.5, col + 0.5)), Math.max(map.getZoom(), info.max_zoom));
        }
        const { lat, lon } = parseLatLon(text);
        // The scene may lie beyond +-180 degrees: come to the copy of the place that is nearest to it.
        const middle = (info.bounds[0] + info.bounds[2]) / 2;
        const near = lon + 360 * Math.round((middle - lon) / 360);
        return map.setView([lat, near], Math.max(map.getZoom(), info.max_zoom - 1));
    }

    function openGoto(open) {
        form.hidden = !open;
        byTestId("goto").setAttribute("aria-expanded", String(open));
        setMessage(error, "");
        if (open) {
            input.focus();
            input.select();
        }
    }

    input.placeholder = info.crs ? "47.5, 13.2 or 47°30'N 13°E" : "row, column";
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        try {
            go(input.value);
            openGoto(false);
            map.getContainer().focus();
        } catch (problem) {
            setMessage(error, problem.message);
        }
    });
    form.addEventListener("keydown", (event) => {
        if (event.key === "Escape") openGoto(false);
    });
    byTestId("goto").addEventListener("click", () => openGoto(form.hidden));
    byTestId("zoom-in").addEventListener("click", () => map.zoomIn(1));
    byTestId("zoom-out").addEventListener("click", () => map.zoomOut(1));
    byTestId("zoom-fit").addEventListener("click", fit);
    return { fit, openGoto };
}

/** Leaflet zoom at which one scene pixel near (row, col) is `size` CSS pixels wide. */
export function zoomForPixelSize(map, layer, info, row, col, size) {
    if (!info.crs) return info.max_zoom + Math.log2(size);
    const [here, right, down] = [[0, 0], [0, 1], [1, 0]].map(([r, c]) => layer.grid.toPlane(row + r, col + c));
    const area = (right[0] - here[0]) * (down[1] - here[1]) - (right[1] - here[1]) * (down[0] - here[0]);
    const metres = Math.sqrt(Math.abs(area)); // Web Mercator metres a scene pixel
    const world = mercator(180, 0)[0] * 2;
    return Math.log2((size * world) / (256 * metres));
}
