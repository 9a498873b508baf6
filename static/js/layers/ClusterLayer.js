/**
 * The cluster overlay: one WebGL2 canvas over the imagery. It holds leaf blocks, says which ones the view needs, and
 * recolors by two small tables. Coordinates: "pixel" is the scene's grid, "container" CSS pixels on the map.
 */
import { BlockRenderer } from "../gl/BlockRenderer.js";
import { idAt } from "../gl/apron.js";
import { BLOCK, blocksUnder, inflate, levelForScale, NODATA } from "../model/blocks.js";
import { Emitter } from "../model/emitter.js";
import { SceneGrid } from "../model/grid.js";
import { BlockCache } from "./BlockCache.js";
import { currentView, startAnimation, toContainer, toPlane } from "./view.js";

const defaults = {
    smallestTexel: 0.75, // device pixels: below it the next coarser level is drawn
    lineWidth: 1.25, // CSS pixels on each side of an outline
    margin: 1, // rings of blocks fetched around the view
    memory: 192 * 2 ** 20, // bytes of block ids
};

const WEBGL_MISSING =
    "This browser offers no WebGL2, so clusters cannot be drawn. Switch on hardware acceleration, or use a current " +
    "Firefox, Chrome, Edge or Safari. Classes, imagery and downloads still work.";
const CONTEXT_LOST = "The graphics driver took the drawing surface away; the clusters come back as soon as it returns.";

export class ClusterLayer extends Emitter {
    #colors = null;
    #keys = null;
    #renderer = null;
    #frame = 0;
    #animation = null;
    #lastDrawn = [];
    #segmentation = null;

    /** @param {object} info scene info */
    constructor(info, options = {}) {
        super();
        this.options = { ...defaults, ...options };
        this.info = info;
        this.grid = new SceneGrid(info);
        this.cache = new BlockCache({ budget: this.options.memory });
        this.hover = null;
        this.outlines = false;
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
        if (this.#colors) this.#renderer.setColors(this.#colors);
        if (this.#keys) this.#renderer.setKeys(this.#keys);
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

    /** Start anew with another segmentation's leaves; the same one changes nothing. */
    setSegmentation(id) {
        if (id === this.#segmentation) return;
        this.#segmentation = id;
        for (const block of this.cache.clear()) this.#renderer?.free(block);
        this.setHover(null);
        this.#onView();
    }

    /**
     * Take in a binary frame.
     * @returns {Promise<boolean>} whether it changed the map
     */
    async addFrame(frame) {
        if (frame.segmentation !== this.#segmentation) return false; // sent before the segmentation changed
        const buffer = await inflate(frame.payload, "gzip");
        if (frame.segmentation !== this.#segmentation) return false;
        this.grid.addMesh(frame);
        if (!this.cache.add(frame, new Uint16Array(buffer))) return false;
        const wanted = this.wanted();
        const keep = new Set(wanted.blocks.map(([row, col]) => `${wanted.level}/${row}/${col}`));
        for (const block of this.cache.evict(keep)) this.#renderer?.free(block);
        this.redraw();
        this.emit("blocks");
        return true;
    }

    setColors(texels) {
        this.#colors = texels;
        this.#renderer?.setColors(texels);
        this.redraw();
    }

    setKeys(keys) {
        this.#keys = keys;
        this.#renderer?.setKeys(keys);
        this.redraw();
    }

    setOutlines(outlines) {
        this.outlines = outlines;
        this.redraw();
    }

    /** Light up leaves [low, high) everywhere, or nothing. */
    setHover(range) {
        if (range?.[0] === this.hover?.[0] && range?.[1] === this.hover?.[1]) return;
        this.hover = range;
        this.redraw();
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
        this.#frame = requestAnimationFrame(() => {
            this.#frame = 0;
            this.drawNow();
            if (this.#animation) this.redraw();
        });
    }

    drawNow(hover = this.hover) {
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
        if (!this.#renderer || !this.#colors || !width || !height) return;
        const view = this.view();
        const device = Object.fromEntries(Object.entries(view).map(([name, value]) => [name, value * ratio]));
        this.#lastDrawn = this.#blocksToDraw();
        this.#renderer.draw(
            this.#lastDrawn,
            { ...device, width, height },
            { outlines: this.outlines, hover, lineWidth: this.options.lineWidth * ratio },
        );
        for (const block of this.#lastDrawn) this.cache.touch(block);
        this.emit("drawn", this.#lastDrawn.length);
    }

    /** Wanted blocks first; around those still missing, finer and coarser ones that are there. */
    #blocksToDraw() {
        const { level, blocks } = this.wanted();
        const present = blocks.map(([row, col]) => this.cache.get(level, row, col)).filter(Boolean);
        const missing = blocks.filter(([row, col]) => !this.cache.isComplete(level, row, col));
        if (!missing.length) return present;
        const away = (block) => Math.abs(block.level - level) + (block.level > level ? 0.5 : 0);
        const covers = (block) =>
            missing.some(([row, col]) => {
                const [fine, coarse] = [2 ** level, 2 ** block.level];
                const overlaps = (a, b) => a * fine < (b + 1) * coarse && b * coarse < (a + 1) * fine;
                return overlaps(row, block.row) && overlaps(col, block.col);
            });
        const others = [...this.cache.values()].filter((block) => block.level !== level && covers(block));
        return [...present, ...others.sort((a, b) => away(a) - away(b))];
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

    /** Number of the view's blocks that the last frame drew in full. */
    shown() {
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

    /** Leaf under a container position, or null where none is known. */
    leafAt(point) {
        const pixel = this.containerToPixel(point);
        if (!this.grid.contains(pixel)) return null;
        const found = this.cache.finestAt(Math.floor(pixel.row), Math.floor(pixel.col), this.info.n_levels);
        if (!found || found.row >= BLOCK || found.col >= BLOCK) return null;
        const leaf = idAt(found.block.ids, found.row, found.col);
        return leaf === NODATA ? null : leaf;
    }

    /** RGBA that the canvas shows at a container position, without the light of the hovered cluster. */
    colorAt(point) {
        if (!this.#renderer) return null;
        this.drawNow(null);
        const ratio = window.devicePixelRatio || 1;
        const [x, y] = [Math.floor(point.x * ratio), Math.floor(point.y * ratio)];
        const rgba = this.#renderer.read(x, y, this.canvas.height);
        this.redraw();
        return [...rgba];
    }
}
