/**
 * The cluster overlay: one WebGL2 canvas over the imagery. It holds leaf blocks, says which ones the view needs, and
 * recolors by three small tables. Coordinates: "pixel" is the scene's grid, "container" CSS pixels on the map.
 */
import { BlockRenderer } from "../gl/BlockRenderer.js";
import { idAt } from "../gl/apron.js";
import { BLOCK, blockKey, blocksUnder, inflate, levelForScale, NODATA } from "../model/blocks.js";
import { Emitter } from "../model/emitter.js";
import { SceneGrid } from "../model/grid.js";
import { OverrideStore } from "./OverrideStore.js";
import { timed } from "../timing.js";
import { Sheets } from "./Sheets.js";
import { currentView, startAnimation, toContainer, toPlane } from "./view.js";

const defaults = {
    smallestTexel: 0.75, // device pixels: below it the next coarser level is drawn
    lineWidth: 1.25, // CSS pixels on each side of an outline
    hatch: 10, // CSS pixels from one stripe over predicted leaves to the next
    margin: 1, // rings of blocks fetched around the view
    memory: 192 * 2 ** 20, // bytes of block ids
};

const WEBGL_MISSING =
    "This browser offers no WebGL2, so clusters cannot be drawn. Switch on hardware acceleration, or use a current " +
    "Firefox, Chrome, Edge or Safari. Classes, imagery and downloads still work.";
const CONTEXT_LOST = "The graphics driver took the drawing surface away; the clusters come back as soon as it returns.";

/**
 * Events: "view" (another part of the scene), "blocks" (one came), "expired" (some are to come again), "drawn" (number of blocks), "outdated" (whether the
 * overlay on screen is that of an earlier segmentation), "error" (a sentence, or "").
 */
export class ClusterLayer extends Emitter {
    #renderer = null;
    #frame = 0;
    #animation = null;
    #lastDrawn = [];
    #outdated = false;

    /** @param {object} info scene info */
    constructor(info, options = {}) {
        super();
        this.options = { ...defaults, ...options };
        this.info = info;
        this.grid = new SceneGrid(info);
        this.sheets = new Sheets(this.options.memory);
        this.store = new OverrideStore(); // of the scene's pixels: the same under every segmentation
        this.drawnColors = null;
        this.hover = null;
        this.pointed = null;
        this.opacity = 1;
        this.hidden = false;
        this.error = "";
    }

    addTo(map) {
        this.map = map;
        const pane = map.createPane("clusters");
        pane.style.zIndex = 350; // over tiles (200), under vectors (400)
        pane.style.pointerEvents = "none";
        this.canvas = L.DomUtil.create("canvas", "cluster-canvas", pane);
        this.canvas.setAttribute("aria-hidden", "true");
        this.canvas.addEventListener("webglcontextlost", this.#onLost);
        this.canvas.addEventListener("webglcontextrestored", this.#onRestored);
        this.#start();
        this.listeners = {
            move: () => this.redraw(),
            zoom: () => this.redraw(),
            resize: () => this.#onView(),
            viewreset: () => this.#onView(),
            moveend: () => this.#onView(),
            zoomanim: (event) => this.#onZoomAnimation(event),
            zoomend: () => this.#onZoomEnd(),
        };
        map.on(this.listeners);
        this.redraw();
        return this;
    }

    remove() {
        this.map.off(this.listeners);
        cancelAnimationFrame(this.#frame);
        this.#renderer?.destroy();
        this.#renderer = null;
        this.canvas.removeEventListener("webglcontextlost", this.#onLost);
        this.canvas.removeEventListener("webglcontextrestored", this.#onRestored);
        this.canvas.remove();
    }

    #start() {
        const gl = this.canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
        if (!gl) {
            this.#setError(WEBGL_MISSING);
            return;
        }
        this.#renderer = new BlockRenderer(gl);
        if (this.sheets.shown.tables) this.#renderer.setTables(this.sheets.shown.tables);
        if (this.drawnColors) this.#renderer.setDrawnColors(this.drawnColors);
        this.#setError("");
    }

    #onLost = (event) => {
        event.preventDefault(); // else the browser never restores it
        this.#renderer = null;
        this.#setError(CONTEXT_LOST);
    };

    #onRestored = () => {
        this.#start();
        this.redraw();
    };

    #setError(message) {
        this.error = message;
        this.emit("error", message);
    }

    get works() {
        return this.#renderer !== null;
    }

    /** Blocks of the adopted segmentation, whether they are on screen yet or not. */
    get cache() {
        return this.sheets.newest.cache;
    }

    /** Whether the overlay on screen is that of an earlier segmentation, until the adopted one can fill the view. */
    get outdated() {
        return this.sheets.next !== null;
    }

    /** Go over to another segmentation's leaves; the same one changes nothing. */
    setSegmentation(id) {
        if (id === this.sheets.newest.segmentation) return;
        this.#free(this.sheets.adopt(id));
        this.setHover(null);
        this.#showOutdated();
        this.#onView();
    }

    #free(blocks) {
        for (const block of blocks) this.#renderer?.free(block);
    }

    #showOutdated() {
        if (this.outdated === this.#outdated) return;
        this.#outdated = this.outdated;
        this.canvas.classList.toggle("outdated", this.outdated);
        this.emit("outdated", this.outdated);
    }

    /** Show the adopted segmentation as soon as it can fill the view. */
    #swap() {
        const dropped = this.outdated ? this.sheets.swap(this.wanted()) : null;
        if (!dropped) return;
        this.#free(dropped);
        this.#renderer?.setTables(this.sheets.shown.tables);
        this.#showOutdated();
    }

    /**
     * Take in a binary frame.
     * @returns {Promise<boolean>} whether it changed the map
     */
    async addFrame(frame) {
        const isCurrent = () => frame.segmentation === this.sheets.newest.segmentation;
        if (!isCurrent()) return false; // sent before the segmentation changed
        const buffer = await inflate(frame.payload, "gzip");
        if (!isCurrent()) return false;
        this.grid.addMesh(frame);
        if (!this.cache.add(frame, new Uint16Array(buffer))) return false;
        const { level, blocks } = this.wanted();
        this.#free(this.sheets.evict(new Set(blocks.map(([row, col]) => blockKey(level, row, col)))));
        this.redraw();
        this.emit("blocks");
        return true;
    }

    /**
     * Leaves were split, or joined again.
     * @param {Uint8Array} outdated 1 for each number that no block should hold any more
     */
    expire(outdated) {
        if (this.cache.expire(outdated)) this.emit("expired");
    }

    /**
     * Color the leaves of a segmentation.
     * @param {{mode: string, colors: Uint8Array, keys: Uint32Array | null, certainty: Uint8Array}} tables as
     *     model/lookup.js and model/completion.js make them; `keys` are read in the outlines mode alone
     */
    setTables(segmentation, tables) {
        const sheet = this.sheets.of(segmentation);
        if (!sheet) return;
        sheet.tables = tables;
        if (sheet === this.sheets.shown) this.#renderer?.setTables(tables);
        this.redraw();
    }

    /**
     * Light up leaves everywhere, or nothing.
     * @param {Uint8Array | null} lights one byte for each of 65,536 numbers, above 0 for those that light up; never changed
     */
    setHover(lights) {
        if (lights === this.hover) return;
        this.hover = lights;
        this.redraw();
    }

    /**
     * Outline what others point at, or nothing.
     * @param {Uint8Array | null} texels as model/presence.js makes them; never changed
     */
    setPointed(texels) {
        if (texels === this.pointed) return;
        this.pointed = texels;
        this.redraw();
    }

    // ---- drawn by hand -------------------------------------------------------------------------------------------

    /** Blocks that are drawn, or would be if their ids were there: what lies over them is wanted too. */
    blocksInView() {
        return this.map ? this.sheets.shown.cache.toDraw(this.wanted()) : [];
    }

    /** @param {Uint8Array} values 512 x 512 */
    putOverride(level, row, col, version, values) {
        this.store.put(level, row, col, version, values);
        const keep = new Set(this.blocksInView().map(({ key }) => key));
        for (const entry of this.store.evict(keep)) this.#renderer?.free(entry);
        this.redraw();
    }

    dropOverride(level, row, col) {
        for (const entry of this.store.drop(level, row, col)) this.#renderer?.free(entry);
        this.redraw();
    }

    /** Color what was drawn. @param {Uint8Array} texels as model/overrides.js makes them */
    setDrawnColors(texels) {
        this.drawnColors = texels;
        this.#renderer?.setDrawnColors(texels);
        this.redraw();
    }

    /**
     * What was drawn at a container position: a value of the overrides, 0 for nothing.
     * @param {import("../model/overrides.js").OverrideIndex} index
     */
    overrideAt(point, index) {
        const pixel = this.containerToPixel(point);
        if (!this.grid.contains(pixel)) return 0;
        for (let level = 0; level < this.info.n_levels; level++) {
            const [row, col] = [Math.floor(pixel.row / 2 ** level), Math.floor(pixel.col / 2 ** level)];
            const at = [level, Math.floor(row / BLOCK), Math.floor(col / BLOCK)];
            const { version, drawn } = index.stateOf(...at);
            if (!drawn) return 0;
            if (this.store.versionOf(...at) === version) return this.store.valueAt(...at, row % BLOCK, col % BLOCK);
        }
        return 0;
    }

    setOpacity(opacity) {
        this.opacity = opacity;
        this.#showCanvas();
    }

    /** Hide the overlay while somebody peeks at the imagery. */
    setHidden(hidden) {
        this.hidden = hidden;
        this.#showCanvas();
    }

    #showCanvas() {
        // Opacity is left to the compositor, so that the canvas itself holds exactly the colors of the table.
        this.canvas.style.opacity = this.hidden ? 0 : this.opacity;
    }

    #onView() {
        this.redraw();
        this.emit("view");
    }

    #onZoomAnimation(event) {
        this.#animation = startAnimation(this.map, event);
        this.redraw();
    }

    #onZoomEnd() {
        this.#animation = null;
        this.#onView();
    }

    view() {
        return currentView(this.map, this.info, this.#animation);
    }

    /** Draw at the next frame. */
    redraw() {
        if (this.#frame || !this.map) return;
        this.#frame = requestAnimationFrame(() => this.#drawFrame());
    }

    #drawFrame() {
        this.#frame = 0;
        timed("draw", () => this.drawNow());
        if (this.#animation) this.redraw();
    }

    /** Draw what waits for the next frame: for whoever is in a frame already, so that no second one passes. */
    flush() {
        if (!this.#frame) return;
        cancelAnimationFrame(this.#frame);
        this.#drawFrame();
    }

    /** What the page holds of leaf blocks, in memory and about as much again in textures. */
    get held() {
        const caches = [this.sheets.shown, this.sheets.next].filter(Boolean).map(({ cache }) => cache);
        return {
            blocks: caches.reduce((sum, cache) => sum + cache.size, 0),
            bytes: caches.reduce((sum, cache) => sum + cache.bytes, 0),
            textures: this.#renderer?.blockCount ?? 0,
        };
    }

    /** @param {{hover?: Uint8Array | null, pointed?: Uint8Array | null, hatch?: boolean}} only what a reading of colors leaves out */
    drawNow({ hover = this.hover, pointed = this.pointed, hatch = true } = {}) {
        this.#swap();
        const { map, canvas } = this;
        const size = map.getSize();
        const ratio = window.devicePixelRatio || 1;
        const [width, height] = [Math.round(size.x * ratio), Math.round(size.y * ratio)];
        if (canvas.width !== width || canvas.height !== height) {
            canvas.width = width;
            canvas.height = height;
            canvas.style.width = `${size.x}px`;
            canvas.style.height = `${size.y}px`;
        }
        L.DomUtil.setPosition(canvas, map._getMapPanePos().multiplyBy(-1));
        const { cache, tables } = this.sheets.shown;
        if (!this.#renderer || !tables || !width || !height) return;
        const view = this.view();
        const device = Object.fromEntries(Object.entries(view).map(([name, value]) => [name, value * ratio]));
        this.#lastDrawn = cache.toDraw(this.wanted());
        const { lineWidth, hatch: stripes } = this.options;
        this.#renderer.draw(
            this.#lastDrawn,
            { ...device, width, height },
            { mode: tables.mode, hover, pointed, drawnAt: ({ level, row, col }) => this.store.get(level, row, col), lineWidth: lineWidth * ratio, hatch: hatch ? stripes * ratio : 0 },
        );
        for (const block of this.#lastDrawn) cache.touch(block);
        this.emit("drawn", this.#lastDrawn.length);
    }

    /** Scene pixels under the container, with the pixel at its middle. */
    #window() {
        const view = this.view();
        const size = this.map.getSize();
        const at = (u, v) => this.grid.toPixel(...toPlane(view, { x: u * size.x, y: v * size.y }));
        const box = { top: Infinity, left: Infinity, bottom: -Infinity, right: -Infinity };
        for (let i = 0; i <= 4; i++) {
            for (let j = 0; j <= 4; j++) {
                const { row, col } = at(i / 4, j / 4);
                box.top = Math.min(box.top, row);
                box.bottom = Math.max(box.bottom, row);
                box.left = Math.min(box.left, col);
                box.right = Math.max(box.right, col);
            }
        }
        return { box, focus: at(0.5, 0.5) };
    }

    /** Device pixels per scene pixel at the middle of the view. */
    pixelScale() {
        const { focus } = this.#window();
        const [row, col] = [Math.min(Math.max(focus.row, 0), this.info.height), Math.min(Math.max(focus.col, 0), this.info.width)];
        const view = this.view();
        const at = (dRow, dCol) => toContainer(view, this.grid.toPlane(row + dRow, col + dCol));
        const [here, right, down] = [at(0, 0), at(0, 1), at(1, 0)];
        const area = (right.x - here.x) * (down.y - here.y) - (right.y - here.y) * (down.x - here.x);
        return Math.sqrt(Math.abs(area));
    }

    #level() {
        const scale = this.pixelScale() * (window.devicePixelRatio || 1);
        return levelForScale(scale, this.info.n_levels, this.options.smallestTexel);
    }

    /** Blocks that the view needs, nearest to its middle first. */
    wanted(margin = 0) {
        const level = this.#level();
        const { box, focus } = this.#window();
        const { height, width } = this.info;
        return { level, blocks: blocksUnder(box, level, height, width, margin, focus) };
    }

    /** Number of the view's blocks that the last frame drew in full; none while the overlay is outdated. */
    shown() {
        if (this.outdated) return 0;
        const { level } = this.wanted();
        return this.#lastDrawn.filter((block) => block.complete && block.level === level).length;
    }

    /** Container position of a pixel's center. */
    pixelToContainer(row, col) {
        return toContainer(this.view(), this.grid.toPlane(row + 0.5, col + 0.5));
    }

    /** Point on the pixel grid under a container position, fractions included. */
    containerToPixel(point) {
        return this.grid.toPixel(...toPlane(this.view(), point));
    }

    /** Leaf under a container position, or null where none is known, or is not what the screen shows. */
    leafAt(point) {
        if (this.outdated) return null;
        const pixel = this.containerToPixel(point);
        if (!this.grid.contains(pixel)) return null;
        const found = this.cache.finestAt(Math.floor(pixel.row), Math.floor(pixel.col), this.info.n_levels);
        if (!found || found.row >= BLOCK || found.col >= BLOCK) return null;
        const leaf = idAt(found.block.ids, found.row, found.col);
        return leaf === NODATA ? null : leaf;
    }

    /** RGBA that the canvas shows at a container position, without the hatching and what anybody points at. */
    colorAt(point) {
        return this.colorsAt([point])[0];
    }

    /** The same of several positions, for which the map is drawn once. */
    colorsAt(points) {
        if (!this.#renderer) return points.map(() => null);
        this.drawNow({ hover: null, pointed: null, hatch: false });
        const ratio = window.devicePixelRatio || 1;
        const read = ({ x, y }) => [...this.#renderer.read(Math.floor(x * ratio), Math.floor(y * ratio), this.canvas.height)];
        const colors = points.map(read);
        this.redraw();
        return colors;
    }
}
