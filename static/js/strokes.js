/**
 * The stroke tools: what one draws over is an example of the active class ("+"), or is not of it ("−"). Nothing is
 * assigned; the decoder learns from the pixels.
 */
import { MOST_POINTS, pixelsAlong, thinned } from "./model/strokes.js";
import { svg } from "./panels/dom.js";
import { toast } from "./toast.js";

const defaults = {
    still: 4, // CSS pixels within which a press is a tap: one pixel
};

export class Strokes {
    #stroke = null; // {id, way (positions on the pixel grid), line (CSS pixels), moved}

    /**
     * @param {import("./tools.js").Tools} tools
     * @param {import("./commands.js").Commands} commands
     */
    constructor(map, layer, state, tools, commands, options = {}) {
        Object.assign(this, { map, layer, state, tools, commands });
        this.options = { ...defaults, ...options };
        this.container = map.getContainer();
        this.line = svg("polyline", { fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" });
        this.casing = this.line.cloneNode();
        this.casing.setAttribute("class", "stroke-casing");
        this.drawing = svg("svg", { class: "paint-trail stroke-trail", "aria-hidden": "true" }, this.casing, this.line);
        this.container.append(this.drawing);
        this.container.addEventListener("pointerdown", (event) => this.#onDown(event), { capture: true });
        window.addEventListener("pointermove", (event) => this.#onMove(event));
        window.addEventListener("pointerup", (event) => this.#onUp(event));
        window.addEventListener("pointercancel", () => this.cancel());
        tools.on("tool", () => this.cancel());
    }

    #onDown(event) {
        if (this.#stroke) {
            this.cancel(); // a second finger: this is a pinch
            return;
        }
        const onMap = event.target === this.container || (event.target.closest?.(".leaflet-map-pane") && !event.target.closest(".leaflet-popup"));
        if (!this.tools.strokes || this.tools.blocked || !onMap || event.button !== 0 || !event.isPrimary) return;
        if (event.ctrlKey || event.metaKey) return; // paints clusters, as with every tool
        const point = this.#pointOf(event);
        this.#stroke = { id: event.pointerId, way: [this.layer.containerToPixel(point)], line: [point], moved: false };
        this.map.dragging.disable();
        this.#show();
    }

    #pointOf(event) {
        const box = this.container.getBoundingClientRect();
        return L.point(event.clientX - box.left, event.clientY - box.top);
    }

    #onMove(event) {
        const stroke = this.#stroke;
        if (!stroke || event.pointerId !== stroke.id) return;
        const point = this.#pointOf(event);
        if (!stroke.moved && stroke.line[0].distanceTo(point) < this.options.still) return;
        stroke.moved = true;
        stroke.way.push(this.layer.containerToPixel(point));
        stroke.line.push(point);
        this.#show();
    }

    #show() {
        const against = this.tools.strokes === "against";
        // A line of one point is drawn as a dot, by its round caps.
        const points = this.#stroke.line.length > 1 ? this.#stroke.line : [this.#stroke.line[0], this.#stroke.line[0]];
        for (const line of [this.casing, this.line]) {
            line.setAttribute("points", points.map(({ x, y }) => `${x},${y}`).join(" "));
        }
        this.line.style.stroke = this.state.classOf(this.state.activeClass)?.color ?? "#ffffff";
        this.line.classList.toggle("against", against);
        this.drawing.classList.add("visible");
    }

    #onUp(event) {
        const stroke = this.#stroke;
        if (!stroke || event.pointerId !== stroke.id) return;
        this.cancel();
        const against = this.tools.strokes === "against";
        if (against && !this.state.activeClass) {
            toast("There is no class yet that this could not be; make one first, or draw with the + stroke.");
            return;
        }
        const { height, width } = this.layer.info;
        const points = thinned(pixelsAlong(stroke.way, height, width), MOST_POINTS);
        if (!points.length) {
            toast("The stroke lies outside the scene; draw it over the image.");
            return;
        }
        this.commands.addStroke(points, against);
    }

    /** @returns {boolean} whether anything was being drawn */
    cancel() {
        if (!this.#stroke) return false;
        this.#stroke = null;
        this.map.dragging.enable();
        this.drawing.classList.remove("visible");
        return true;
    }
}
