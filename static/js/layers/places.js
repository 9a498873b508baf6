/** Going to a pixel of the scene and flashing it; boxes around what changed. */
import { zoomForPixelSize } from "../panels/place.js";
import { toLatLng } from "./view.js";

const defaults = {
    flash: 2400, // ms
    smallest: 0.5, // CSS pixels a scene pixel: from farther away one could not see what was done
};

export class Places {
    #flash = null;
    #timer = 0;
    #boxes = null;

    constructor(map, layer, options = {}) {
        Object.assign(this, { map, layer, options: { ...defaults, ...options } });
        const pane = map.createPane("places");
        pane.style.zIndex = 440;
        pane.style.pointerEvents = "none"; // a click goes to the cluster below
    }

    /** @returns {L.LatLng} of a corner or, with fractions, any point of a pixel */
    at(row, col) {
        const { map, layer } = this;
        return toLatLng(map, layer.info, layer.grid.toPlane(row, col));
    }

    /** Bring a pixel to the middle of the map, near enough, and flash it. */
    goTo(row, col) {
        const { map, layer, options } = this;
        const needed = zoomForPixelSize(map, layer, layer.info, row, col, options.smallest);
        const where = this.at(row + 0.5, col + 0.5);
        map.setView(where, Math.min(map.getMaxZoom(), Math.max(map.getZoom(), needed)));
        this.flash(where);
    }

    flash(where) {
        this.#endFlash();
        const icon = L.divIcon({ className: "place-flash", iconSize: [28, 28] });
        this.#flash = L.marker(where, { icon, pane: "places", interactive: false, keyboard: false }).addTo(this.map);
        this.#timer = setTimeout(() => this.#endFlash(), this.options.flash);
    }

    #endFlash() {
        clearTimeout(this.#timer);
        this.#flash?.remove();
        this.#flash = null;
    }

    /** @param {number[][]} boxes row0, col0, row1, col1; none take the earlier ones away */
    showBoxes(boxes) {
        this.#boxes?.remove();
        this.#boxes = null;
        if (!boxes.length) return;
        const corners = ([row0, col0, row1, col1]) => [[row0, col0], [row0, col1], [row1, col1], [row1, col0]].map(([row, col]) => this.at(row, col));
        const style = { pane: "places", interactive: false, className: "change-box" };
        this.#boxes = L.layerGroup(boxes.map((box) => L.polygon(corners(box), style))).addTo(this.map);
    }
}
