/**
 * Pointer on the map: hover, click, paint. Dragging moves the map as on every web map; painting is a tool of its own
 * (or Ctrl + drag), so that nobody assigns by accident.
 */
import { Emitter } from "./model/emitter.js";
import { mergeRanges } from "./model/ranges.js";
import { svg } from "./panels/dom.js";
import { timed } from "./timing.js";

const defaults = {
    stroke: 4, // CSS pixels that a press must travel to be a stroke, not a click
    step: 3, // CSS pixels between samples along a stroke
    samePlace: 4, // CSS pixels within which a click means the place of an earlier one
};

/** Events: "tool" (name), "region" (leaf, pixel, erases: a click that means a connected patch), "pick" (cluster and leaf that are to be split), "hover" (cluster or null, leaf or null, point, whether the cluster is the same). */
export class Tools extends Emitter {
    #stroke = null;
    #last = null; // last pointer position over the map
    #frame = 0;
    #skipClick = false;
    #cancelled = false; // a stroke was broken off with its button still down

    constructor(map, layer, state, commands, options = {}) {
        super();
        Object.assign(this, { map, layer, state, commands, tool: "pan", blocked: false, hovered: null });
        this.drawn = 0; // value of the overrides under the pointer
        this.claimClick = null; // (point) => whether something drawn on the map takes the click

        this.options = { ...defaults, ...options };
        this.container = map.getContainer();
        this.#listen();
        this.trail = svg("polyline", { fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" });
        this.trailSvg = svg("svg", { class: "paint-trail", "aria-hidden": "true" }, this.trail);
        this.container.append(this.trailSvg);
    }

    #listen() {
        const { map, container } = this;
        // Capture: Leaflet's own drag starts on the mousedown that follows a pointerdown.
        container.addEventListener("pointerdown", (event) => this.#onDown(event), { capture: true });
        window.addEventListener("pointermove", (event) => this.#onMove(event));
        window.addEventListener("pointerup", (event) => this.#onUp(event));
        window.addEventListener("pointercancel", () => this.cancelStroke());
        container.addEventListener("pointerleave", () => this.#setLast(null));
        map.on("click", (event) => timed("click", () => this.#onClick(event)));
        map.on("contextmenu", (event) => {
            if (!this.blocked && !this.strokes && !this.draws) this.#erase(event.containerPoint);
        });
        map.on("move zoom", () => this.#queueHover());
        this.layer.on("blocks", () => this.#queueHover());
        for (const event of ["clusters", "split", "overrides"]) this.state.on(event, () => this.#queueHover());
    }

    /** What the stroke tool says of pixels: "for" or "against" the active class; null with another tool. */
    get strokes() {
        return { stroke: "for", "stroke-against": "against" }[this.tool] ?? null;
    }

    /** The shape that is drawn by hand with this tool: "lasso", "rectangle" or "region"; null with another one. */
    get draws() {
        return ["lasso", "rectangle", "region"].includes(this.tool) ? this.tool : null;
    }

    setTool(tool) {
        if (tool === this.tool) return;
        this.tool = tool;
        this.container.classList.toggle("painting", tool === "paint");
        this.container.classList.toggle("splitting", tool === "split");
        this.container.classList.toggle("drawing", this.draws !== null);
        this.container.classList.toggle("patching", tool === "region");
        this.emit("tool", tool);
    }

    /** While an area is drawn, clicks are not ours. */
    setBlocked(blocked) {
        this.blocked = blocked;
        if (blocked) this.#setHover(null);
    }

    clusterAt(point) {
        return this.state.clusterOfLeaf(this.layer.leafAt(point));
    }

    #pixelAt(point) {
        const { row, col } = this.layer.containerToPixel(point);
        return [Math.floor(row), Math.floor(col)];
    }

    #onMap(event) {
        if (event.target.closest?.(".leaflet-popup")) return false;
        return event.target === this.container || event.target.closest?.(".leaflet-map-pane");
    }

    // ---- hover ---------------------------------------------------------------------------------------------------

    #setLast(point) {
        this.#last = point;
        this.#queueHover();
    }

    #queueHover() {
        if (this.#frame) return;
        this.#frame = requestAnimationFrame(() => {
            this.#frame = 0;
            this.refreshHover();
        });
    }

    refreshHover() {
        const leaf = this.#last && !this.blocked && this.state.tree ? this.layer.leafAt(this.#last) : null;
        this.#setHover(this.state.clusterOfLeaf(leaf), leaf);
    }

    #setHover(cluster, leaf = null) {
        const same = cluster?.low === this.hovered?.low && cluster?.high === this.hovered?.high;
        this.hovered = cluster;
        this.drawn = leaf === null ? 0 : this.layer.overrideAt(this.#last, this.state.overrides);
        // The light would drown the colors of a split that is being tried out.
        const isLit = cluster && !this.state.splitPreview;
        this.layer.setHover(isLit ? this.state.clusters.lightsOf(cluster.node) : null);
        this.emit("hover", { cluster, leaf, point: this.#last, same });
    }

    // ---- click ---------------------------------------------------------------------------------------------------

    #onClick({ containerPoint, originalEvent }) {
        if (this.blocked || this.strokes || this.#skipClick) return;
        if (this.draws) {
            const leaf = this.draws === "region" ? this.layer.leafAt(containerPoint) : null;
            if (leaf !== null) this.emit("region", { leaf, pixel: this.#pixelAt(containerPoint), erases: originalEvent.shiftKey });
            return;
        }
        const plain = !originalEvent.shiftKey && !originalEvent.altKey;
        if (plain && this.claimClick?.(containerPoint)) return;
        const cluster = this.clusterAt(containerPoint);
        if (originalEvent.pointerType === "touch") this.#setLast(containerPoint);
        if (!cluster) return;
        if (this.tool === "split") this.emit("pick", { cluster, leaf: this.layer.leafAt(containerPoint) });
        else if (originalEvent.shiftKey) this.#erase(containerPoint);
        else if (originalEvent.altKey) this.#pick(containerPoint);
        else {
            const reach = this.options.samePlace / this.layer.pixelScale();
            this.commands.click(this.layer.leafAt(containerPoint), this.#pixelAt(containerPoint), reach);
        }
    }

    #erase(point) {
        const cluster = this.clusterAt(point);
        if (cluster) this.commands.unassign(cluster.ranges, this.#pixelAt(point));
    }

    #pick(point) {
        const { class: number } = this.state.classOfLeaf(this.layer.leafAt(point)) ?? {};
        if (number) this.state.setActiveClass(number);
    }

    // ---- paint ---------------------------------------------------------------------------------------------------

    #onDown(event) {
        if (this.#stroke) {
            this.cancelStroke(); // a second finger: this is a pinch
            return;
        }
        const paints = this.tool === "paint" || event.ctrlKey || event.metaKey;
        if (this.blocked || !paints || event.button !== 0 || !event.isPrimary || !this.#onMap(event)) return;
        const point = this.#pointOf(event);
        this.#stroke = { id: event.pointerId, erase: event.shiftKey, points: [point], clusters: new Map(), moved: false };
        this.map.dragging.disable();
        this.#sample(point);
    }

    #pointOf(event) {
        const box = this.container.getBoundingClientRect();
        return L.point(event.clientX - box.left, event.clientY - box.top);
    }

    #onMove(event) {
        const overMap = this.#onMap(event);
        if (overMap && event.pointerType !== "touch") this.#setLast(this.#pointOf(event));
        else if (!overMap && this.#last && event.pointerType !== "touch") this.#setLast(null);
        const stroke = this.#stroke;
        if (!stroke || event.pointerId !== stroke.id) return;
        const point = this.#pointOf(event);
        const from = stroke.points[stroke.points.length - 1];
        const distance = from.distanceTo(point);
        if (!stroke.moved && distance < this.options.stroke) return;
        stroke.moved = true;
        const steps = Math.max(1, Math.ceil(distance / this.options.step));
        for (let i = 1; i <= steps; i++) {
            this.#sample(from.add(point.subtract(from).multiplyBy(i / steps)));
        }
        stroke.points.push(point);
        this.#showTrail();
    }

    #sample(point) {
        const cluster = this.clusterAt(point);
        if (!cluster || this.#stroke.clusters.has(cluster.node)) return;
        this.#stroke.clusters.set(cluster.node, cluster.ranges);
        if (this.#stroke.moved) this.#preview();
    }

    /** The stroke shows in its class at once; it becomes one edit when the button is released. */
    #preview() {
        const { erase, clusters } = this.#stroke;
        this.state.setPreview({ ranges: mergeRanges([...clusters.values()].flat()), class: erase ? 0 : this.state.activeClass });
    }

    #showTrail() {
        const { points, erase } = this.#stroke;
        this.trail.setAttribute("points", points.map(({ x, y }) => `${x},${y}`).join(" "));
        this.trail.style.stroke = (!erase && this.state.classOf(this.state.activeClass)?.color) || "#ffffff";
        this.trailSvg.classList.add("visible");
    }

    #onUp(event) {
        const stroke = this.#stroke;
        if (this.#cancelled) this.#swallowClick();
        if (!stroke || event.pointerId !== stroke.id) return;
        this.#endStroke();
        if (!stroke.moved) return; // a click, which comes by itself
        this.#swallowClick();
        const ranges = [...stroke.clusters.values()].flat();
        const point = this.#pixelAt(stroke.points[0]);
        if (stroke.erase) this.commands.unassign(ranges, point);
        else this.commands.assign(ranges, point);
    }

    /** The end of a stroke is no click; the browser reports one in this very turn. */
    #swallowClick() {
        this.#cancelled = false;
        this.#skipClick = true;
        setTimeout(() => (this.#skipClick = false), 0);
    }

    /** @returns {boolean} whether there was one */
    cancelStroke() {
        if (!this.#stroke) return false;
        this.#cancelled = true; // the button is still down
        this.#endStroke();
        return true;
    }

    #endStroke() {
        this.#stroke = null;
        this.map.dragging.enable();
        this.trailSvg.classList.remove("visible");
        this.state.setPreview(null);
    }
}
