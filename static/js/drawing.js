/**
 * The drawing tools: lasso and rectangle give the pixels inside of them a class, whatever their clusters have; a click with
 * the third gives it to the connected patch of the cluster alone. Or they erase what was drawn. What was drawn stays on
 * screen as a shape until the server's pixels are there.
 */
import { Emitter } from "./model/emitter.js";
import { rectangleAround, roundedRing, thinnedRing } from "./model/shapes.js";
import { svg } from "./panels/dom.js";
import { toast } from "./toast.js";

const defaults = {
    still: 4, // CSS pixels within which a press is no shape
    step: 1.5, // CSS pixels between two corners of a lasso
};

export const SHAPES = ["lasso", "rectangle", "region"];

/** Events: "erase" (whether drawing erases). */
export class Drawing extends Emitter {
    #shape = null; // {id, points (CSS pixels), erases}
    #waiting = new Map(); // client id -> {ring, element}: shapes that the server has not drawn yet
    #swallow = false;

    /**
     * @param {import("./tools.js").Tools} tools
     * @param {import("./commands.js").Commands} commands
     * @param {import("./overrides.js").OverrideLoader} loader
     */
    constructor(map, layer, state, tools, commands, loader, options = {}) {
        super();
        Object.assign(this, { map, layer, state, tools, commands, loader, erases: false });
        this.options = { ...defaults, ...options };
        this.container = map.getContainer();
        this.outline = svg("path", { class: "draft", "fill-rule": "evenodd" });
        this.pending = svg("g", {});
        this.sheet = svg("svg", { class: "drawing-sheet", "aria-hidden": "true" }, this.pending, this.outline);
        this.container.append(this.sheet);
        this.container.addEventListener("pointerdown", (event) => this.#onDown(event), { capture: true });
        window.addEventListener("pointermove", (event) => this.#onMove(event));
        window.addEventListener("pointerup", (event) => this.#onUp(event));
        window.addEventListener("pointercancel", () => this.cancel());
        map.on("zoomstart", () => this.cancel());
        map.on("move zoom zoomend moveend viewreset", () => this.#place());
        tools.on("tool", () => this.cancel());
        tools.on("region", ({ leaf, pixel, erases }) => this.#drawRegion(leaf, pixel, erases));
        state.on("history", () => this.#settle());
    }

    setErases(erases) {
        if (erases === this.erases) return;
        this.erases = erases;
        this.emit("erase", erases);
    }

    // ---- lasso and rectangle -------------------------------------------------------------------------------------

    #onDown(event) {
        if (this.#shape) {
            this.cancel(); // a second finger: this is a pinch
            return;
        }
        const onMap = event.target === this.container || (event.target.closest?.(".leaflet-map-pane") && !event.target.closest(".leaflet-popup"));
        const { draws, blocked } = this.tools;
        if (!draws || draws === "region" || blocked || !onMap || event.button !== 0 || !event.isPrimary) return;
        if (event.ctrlKey || event.metaKey) return; // paints clusters, as with every tool
        this.#shape = { id: event.pointerId, points: [this.#pointOf(event)], erases: this.erases || event.shiftKey };
        this.map.dragging.disable();
        this.map.boxZoom.disable(); // Leaflet's own Shift + drag
    }

    #pointOf(event) {
        const box = this.container.getBoundingClientRect();
        return { x: event.clientX - box.left, y: event.clientY - box.top };
    }

    #onMove(event) {
        const shape = this.#shape;
        if (!shape || event.pointerId !== shape.id) return;
        const point = this.#pointOf(event);
        const last = shape.points[shape.points.length - 1];
        if (this.tools.draws === "rectangle") shape.points = [shape.points[0], point];
        else if (Math.hypot(point.x - last.x, point.y - last.y) >= this.options.step) shape.points.push(point);
        this.#show();
    }

    /** The shape's corners on screen, or null while it is no more than a press. */
    #corners() {
        const { points } = this.#shape;
        const [first] = points;
        if (!points.some(({ x, y }) => Math.hypot(x - first.x, y - first.y) > this.options.still)) return null;
        return this.tools.draws === "rectangle" ? rectangleAround(...points) : points;
    }

    #show() {
        const corners = this.#corners();
        this.outline.setAttribute("d", corners ? pathOf(corners) : "");
        this.#paint(this.outline, this.#shape.erases);
    }

    #paint(element, erases) {
        element.classList.toggle("erases", erases);
        const color = erases ? "" : (this.state.classOf(this.state.activeClass)?.color ?? "#ffffff");
        element.style.setProperty("--drawn", color);
    }

    #onUp(event) {
        const shape = this.#shape;
        if (!shape || event.pointerId !== shape.id) return;
        const corners = this.#corners();
        this.cancel();
        if (!corners) return;
        const ring = thinnedRing(corners.map((point) => this.layer.containerToPixel(point)));
        const { height, width } = this.layer.info;
        if (!ring.some((pixel) => this.layer.grid.contains(pixel)) && !aroundScene(ring, height, width)) {
            toast("The shape lies outside the scene; draw it over the image.");
            return;
        }
        this.#send({ polygons: [[roundedRing(ring)]] }, shape.erases, ring);
    }

    /** @returns {boolean} whether anything was being drawn */
    cancel() {
        if (!this.#shape) return false;
        this.#shape = null;
        this.map.dragging.enable();
        this.map.boxZoom.enable();
        this.outline.setAttribute("d", "");
        return true;
    }

    // ---- the connected patch -------------------------------------------------------------------------------------

    #drawRegion(leaf, point, shift) {
        const cluster = this.state.clusterOfLeaf(leaf);
        if (!cluster) return;
        if (this.state.segmentation.state !== "complete") {
            toast("Connected patches can be told once the segmentation is complete; draw with the lasso until then.");
            return;
        }
        const { id: segmentation, version } = this.state.segmentation;
        this.#send({ region: { segmentation, version, ranges: cluster.ranges, point } }, this.erases || shift, null);
    }

    // ---- what waits for the server -------------------------------------------------------------------------------

    #send(shape, erases, ring) {
        this.commands.draw(shape, erases, (command) => {
            if (!ring) return;
            const element = svg("path", { class: "draft waiting", "fill-rule": "evenodd" });
            this.#paint(element, erases);
            this.pending.append(element);
            this.#waiting.set(command.client_id, { ring, element });
            this.#place();
        });
    }

    /** Shapes on screen follow the map. */
    #place() {
        const corner = ({ row, col }) => this.layer.pixelToContainer(row - 0.5, col - 0.5);
        for (const { ring, element } of this.#waiting.values()) element.setAttribute("d", pathOf(ring.map(corner)));
    }

    /** What the server has drawn, or refused, is a shape no longer than until its pixels are on screen. */
    #settle() {
        const open = new Set(this.state.pending.map(({ client_id: id }) => id));
        for (const [id, { element }] of this.#waiting) {
            if (open.has(id)) continue;
            this.#waiting.delete(id);
            this.loader.whenIdle().then(() => element.remove());
        }
    }
}

const pathOf = (points) => `M${points.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z`;

/** Whether a ring whose corners all lie outside may still reach over the scene. */
function aroundScene(ring, height, width) {
    const [rows, cols] = [ring.map(({ row }) => row), ring.map(({ col }) => col)];
    return Math.min(...rows) < height && Math.max(...rows) > 0 && Math.min(...cols) < width && Math.max(...cols) > 0;
}
