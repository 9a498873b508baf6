/** Examples on the map: dots for pixels, lines for strokes; what is NOT of a class is hollow and dashed. */
import { describeExample, drawnExamples } from "../model/examples.js";
import { Emitter } from "../model/emitter.js";
import { byTestId, el, throttled } from "../panels/dom.js";
import { toLatLng } from "./view.js";

const defaults = {
    radius: 5, // CSS pixels of a click
    smallRadius: 3, // CSS pixels of an imported pixel
    width: 4, // CSS pixels of a stroke
    tolerance: 4, // CSS pixels beside it that still hit it
    settle: 1000, // ms between two redraws while blocks bring exact positions
};

const LIGHT = "#ffffff";
const DARK = "#10201a";

/** The line through pixels without the stairs that they make: within a pixel of each of them. */
const straightened = (points) => L.LineUtil.simplify(points.map(([row, col]) => L.point(col, row)), 1).map(({ x, y }) => [y, x]);

/** Events: "select" (an example, or null), "remove" (an example). */
export class ExampleLayer extends Emitter {
    #groups = [];
    #selected = null;
    #popup = null;

    constructor(map, layer, options = {}) {
        super();
        Object.assign(this, { map, layer });
        this.options = { ...defaults, ...options };
        const pane = map.createPane("examples");
        pane.style.zIndex = 420; // over the area of interest
        // The canvas reaches to the edge of the view and would take every click: it is there to be drawn on only.
        pane.style.pointerEvents = "none";
        this.renderer = L.canvas({ pane: "examples", padding: 0.3, tolerance: this.options.tolerance });
        this.group = L.layerGroup();
        this.examples = [];
        this.classes = [];
        layer.on("blocks", throttled(() => this.group._map && this.#draw(), this.options.settle));
    }

    /** Show examples, or none. */
    show(examples, classes) {
        this.examples = examples ?? [];
        this.classes = classes;
        if (examples) this.group.addTo(this.map);
        else this.group.remove();
        this.#draw();
        const still = this.examples.find((one) => this.#selected && one.number === this.#selected.number && one.class === this.#selected.class);
        if (this.#selected && !still) this.select(null);
    }

    #at([row, col]) {
        return toLatLng(this.map, this.layer.info, this.layer.grid.toPlane(row + 0.5, col + 0.5));
    }

    #draw() {
        this.group.clearLayers();
        this.#groups = drawnExamples(this.examples).map(({ example, points }) => {
            const isLine = example.kind === "stroke" && points.length > 1;
            const places = (isLine ? straightened(points) : points).map((point) => this.#at(point));
            const color = this.classes.find(({ number }) => number === example.class)?.color ?? LIGHT;
            const shapes = isLine ? this.#line(places, example, color) : this.#dots(places, example, color);
            for (const shape of shapes) this.group.addLayer(shape);
            return { example, places };
        });
    }

    #common() {
        return { renderer: this.renderer, pane: "examples", interactive: false };
    }

    #line(places, { against }, color) {
        const { width } = this.options;
        const dash = against ? { dashArray: `${2 * width} ${2 * width}`, lineCap: "butt" } : {};
        return [
            L.polyline(places, { ...this.#common(), smoothFactor: 1, color: DARK, opacity: 0.55, weight: width + 4 }),
            L.polyline(places, { ...this.#common(), smoothFactor: 1, color: LIGHT, weight: width + 2 }),
            L.polyline(places, { ...this.#common(), smoothFactor: 1, color, weight: width, ...dash }),
        ];
    }

    #dots(places, { against, kind }, color) {
        const radius = kind === "import" ? this.options.smallRadius : this.options.radius;
        return places.flatMap((place) => [
            L.circleMarker(place, { ...this.#common(), radius: radius + 1.5, stroke: false, fillColor: DARK, fillOpacity: 0.55 }),
            L.circleMarker(place, { ...this.#common(), radius, color: LIGHT, weight: 1.5, fillColor: against ? LIGHT : color, fillOpacity: 1 }),
            ...(against ? [L.circleMarker(place, { ...this.#common(), radius: radius - 1.5, color, weight: 2, fill: false, dashArray: "2 2" })] : []),
        ]);
    }

    // ---- selecting -----------------------------------------------------------------------------------------------

    /** The example that is drawn at a point of the container, the newest first; null where there is none. */
    exampleAt(point) {
        if (!this.group._map) return null;
        const { radius, width, tolerance } = this.options;
        for (const { example, places } of [...this.#groups].reverse()) {
            const spots = places.map((place) => this.map.latLngToContainerPoint(place));
            if (spots.some((spot) => spot.distanceTo(point) <= radius + tolerance)) return example;
            if (example.kind !== "stroke") continue;
            const near = (end, index) => index && L.LineUtil.pointToSegmentDistance(point, spots[index - 1], end) <= width / 2 + tolerance;
            if (spots.some(near)) return example;
        }
        return null;
    }

    /** Mark an example and offer to remove it; null ends it. */
    select(example) {
        this.#popup?.remove();
        this.#popup = null;
        this.#selected = example;
        if (example) this.#openPopup(example);
        this.emit("select", example);
    }

    /** @returns {boolean} whether one was selected */
    deselect() {
        if (!this.#selected) return false;
        this.select(null);
        return true;
    }

    get selected() {
        return this.#selected;
    }

    #openPopup(example) {
        const label = this.classes.find(({ number }) => number === example.class);
        const { text, action } = describeExample(example, this.examples);
        const swatch = el("span", { class: `swatch${example.against ? " against" : ""}` });
        swatch.style.setProperty("--swatch", label?.color ?? LIGHT);
        const remove = () => this.emit("remove", example);
        const content = el(
            "div",
            { class: "example-box", "data-testid": "example-box" },
            el("div", { class: "example-name" }, swatch, `${example.against ? "Not " : ""}${label?.name ?? ""}`),
            el("div", { class: "hint" }, example.number ? text : `${text} – saving …`),
            el("button", { type: "button", class: "button small", "data-testid": "example-remove", disabled: !example.number, onclick: remove }, action),
        );
        const places = this.#groups.find((group) => group.example === example)?.places ?? [this.#at(example.points[0])];
        const options = { className: "example-popup", closeButton: false, autoPan: true, offset: [0, -4], minWidth: 150 };
        this.#popup = L.popup(options).setLatLng(places[Math.floor(places.length / 2)]).setContent(content).openOn(this.map);
        byTestId("example-remove", content).focus({ preventScroll: true });
        this.#popup.on("remove", () => {
            if (this.#selected !== example) return;
            this.#selected = null;
            this.emit("select", null);
        });
    }
}
