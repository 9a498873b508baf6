/** The area of interest on the map: what lies outside is dimmed; drawing with Leaflet.draw. */
import { ringsOf } from "../model/geometry.js";
import { Emitter } from "../model/emitter.js";

const WORLD = 1e4; // degrees (or Leaflet units): farther out than anything that can be on the screen

/** Event: "drawing" (whether it is going on). */
export class AreaLayer extends Emitter {
    #drawing = null;

    constructor(map, info) {
        super();
        this.map = map;
        this.info = info;
        const pane = map.createPane("area");
        pane.style.zIndex = 380; // over the clusters
        pane.style.pointerEvents = "none";
        this.scale = info.crs ? 1 : 2 ** info.max_zoom; // pixels a Leaflet unit, for scenes without CRS
        this.shape = null;
        map.on("draw:drawstop", () => this.#stopped());
    }

    #latLng([x, y]) {
        return this.info.crs ? [y, x] : [-y / this.scale, x / this.scale];
    }

    /** Show a geometry, or none. */
    show(geometry) {
        this.shape?.remove();
        this.shape = null;
        if (!geometry) return;
        const rings = ringsOf(geometry).map((ring) => ring.map((position) => this.#latLng(position)));
        // Web Mercator ends near 85 degrees; beyond, the projection clamps.
        const [far, top] = [WORLD, this.info.crs ? 89 : WORLD];
        const outer = [[-top, -far], [-top, far], [top, far], [top, -far]];
        const common = { pane: "area", interactive: false };
        this.shape = L.layerGroup([
            L.polygon([outer, ...rings], { ...common, stroke: false, fillRule: "evenodd", className: "area-outside" }),
            L.polyline(rings, { ...common, className: "area-border", fill: false }),
        ]).addTo(this.map);
    }

    /** @returns {Promise<object | null>} the polygon drawn, or null where it was broken off */
    draw() {
        if (this.#drawing) this.stop();
        const handler = new L.Draw.Polygon(this.map, {
            allowIntersection: false,
            shapeOptions: { className: "area-draft", weight: 2 },
            drawError: { message: "The border must not cross itself.", timeout: 2500 },
            icon: new L.DivIcon({ iconSize: [10, 10], className: "area-vertex" }),
            touchIcon: new L.DivIcon({ iconSize: [18, 18], className: "area-vertex" }),
        });
        return new Promise((resolve) => {
            const created = ({ layer }) => this.#finish(this.#geometry(layer));
            this.#drawing = { handler, resolve, created };
            this.map.once("draw:created", created);
            this.emit("drawing", true);
            handler.enable();
        });
    }

    #geometry(layer) {
        const ring = layer.getLatLngs()[0].map(({ lat, lng }) => (this.info.crs ? [lng, lat] : [lng * this.scale, -lat * this.scale]));
        return { type: "Polygon", coordinates: [[...ring, ring[0]]] };
    }

    #finish(geometry) {
        const { resolve, created } = this.#drawing;
        this.#drawing = null;
        this.map.off("draw:created", created);
        resolve(geometry);
        // The click that closed the polygon must not reach the tools.
        setTimeout(() => this.emit("drawing", false), 0);
    }

    #stopped() {
        // Leaflet.draw says "stop" before or after "created": leave the word to the latter.
        setTimeout(() => this.#drawing && this.#finish(null), 0);
    }

    /** @returns {boolean} whether anything was being drawn */
    stop() {
        if (!this.#drawing) return false;
        this.#drawing.handler.disable();
        if (this.#drawing) this.#finish(null);
        return true;
    }
}
