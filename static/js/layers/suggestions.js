/** Places to click next: numbered marks on the map, and small pictures of the imagery around them. */
import { samePlace, tilesOver } from "../model/suggestions.js";
import { throttled } from "../panels/dom.js";
import { zoomForPixelSize } from "../panels/place.js";
import { toLatLng } from "./view.js";

const SIZE = 22; // CSS pixels of a mark
const ACTIVE_SIZE = 30;

const defaults = {
    settle: 1000, // ms between two redraws while blocks bring exact positions
    share: 0.45, // of the view that a place's window fills after going there
    nearer: 4, // times nearer than that which is left as it is
    farther: 1.2, // times farther
};

export class SuggestionLayer {
    #places = [];
    #active = null;

    /** @param {import("./imagery.js").Imagery} imagery */
    constructor(map, layer, imagery, options = {}) {
        Object.assign(this, { map, layer, imagery });
        this.options = { ...defaults, ...options };
        const pane = map.createPane("suggestions");
        pane.style.zIndex = 430; // over examples
        pane.style.pointerEvents = "none"; // a click goes to the cluster below
        this.group = L.layerGroup().addTo(map);
        layer.on("blocks", throttled(() => this.#draw(), this.options.settle));
    }

    /** Show places, the active one pulsing. */
    show(places, active) {
        this.#places = places;
        this.#active = active;
        this.#draw();
    }

    #at(place) {
        const { map, layer } = this;
        return toLatLng(map, layer.info, layer.grid.toPlane(place.row + 0.5, place.col + 0.5));
    }

    #draw() {
        this.group.clearLayers();
        this.#places.forEach((place, index) => {
            const isActive = samePlace(place, this.#active);
            const [className, size] = isActive ? ["suggestion-mark active", ACTIVE_SIZE] : ["suggestion-mark", SIZE];
            const icon = L.divIcon({ className, html: String(index + 1), iconSize: [size, size] });
            L.marker(this.#at(place), { icon, pane: "suggestions", interactive: false, keyboard: false }).addTo(this.group);
        });
    }

    /** Side of a place's window, scene pixels. */
    #side({ bounds: [row0, col0, row1, col1] }) {
        return Math.max(row1 - row0, col1 - col0, 1);
    }

    /** Bring a place to the middle, at a size at which it can be judged; the zoom stays where that is given already. */
    flyTo(place) {
        const { map, layer, options } = this;
        const { x, y } = map.getSize();
        const wanted = (options.share * Math.min(x, y)) / this.#side(place); // screen pixels a scene pixel
        const ideal = zoomForPixelSize(map, layer, layer.info, place.row, place.col, wanted);
        const zoom = Math.max(ideal - Math.log2(options.farther), Math.min(map.getZoom(), ideal + Math.log2(options.nearer)));
        map.setView(this.#at(place), Math.min(map.getMaxZoom(), Math.max(map.getMinZoom(), zoom)));
    }

    /** Leaf under a place's pixel as the view knows it; null while its block is not there. */
    leafAt({ row, col }) {
        return this.layer.leafAt(this.layer.pixelToContainer(row, col));
    }

    /** Draw the imagery around a place, as it is shown on the map, onto a square canvas. */
    async picture(place, canvas) {
        const { map, layer, imagery } = this;
        const { info } = layer;
        const scale = canvas.width / this.#side(place); // canvas pixels a scene pixel
        const atOne = zoomForPixelSize(map, layer, info, place.row, place.col, 1);
        const zoom = Math.max(info.min_zoom, Math.min(info.max_zoom, Math.round(atOne + Math.log2(scale))));
        const side = this.#side(place) * 2 ** (zoom - atOne);
        const tiles = tilesOver(map.project(this.#at(place), zoom), side, zoom, canvas.width, Boolean(info.crs));
        const images = await Promise.all(tiles.map((tile) => loadTile(imagery.urlOf(tile))));
        const context = canvas.getContext("2d");
        context.clearRect(0, 0, canvas.width, canvas.height);
        images.forEach((image, index) => {
            const { left, top, size } = tiles[index];
            if (!image) return;
            // Whole pixels, or the soft edges of two tiles leave a line between them.
            const [x, y] = [Math.round(left), Math.round(top)];
            context.drawImage(image, x, y, Math.round(left + size) - x, Math.round(top + size) - y);
        });
    }
}

/** A tile, or null where there is none: outside of the scene the server answers without a picture. */
function loadTile(url) {
    return new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve(image);
        image.onerror = () => resolve(null);
        image.src = url;
    });
}
