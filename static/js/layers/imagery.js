/** The scene's own tiles, and a base map below them where the settings name one. */

const FIRST_IMAGERY = "clusternet:first-imagery";
const KEEP_ZOOMING = 8; // zoom levels past the scene's finest tiles
const RETRIES_MS = [1000, 3000, 9000]; // pauses after which a tile that failed is asked for again

/** An empty map in the right coordinates: Web Mercator, or the scene's pixels where it has no CRS. */
export function createMap(element, info) {
    const map = L.map(element, {
        crs: info.crs ? L.CRS.EPSG3857 : L.CRS.Simple,
        minZoom: Math.max(0, info.min_zoom - 2),
        maxZoom: info.max_zoom + KEEP_ZOOMING,
        zoomSnap: 0.25,
        wheelPxPerZoomLevel: 90,
        zoomControl: false,
        boxZoom: false, // shift + click takes a class back
        doubleClickZoom: false, // two quick clicks are two assignments
        worldCopyJump: false,
        attributionControl: false,
    });
    L.control.attribution({ position: "bottomright", prefix: false }).addTo(map);
    return map;
}

export class Imagery {
    #opacity = 1;

    constructor(map, scene, tileUrl, basemap, bounds) {
        this.map = map;
        this.tileUrl = tileUrl;
        const { info } = scene;
        this.options = {
            bounds,
            minNativeZoom: info.min_zoom,
            maxNativeZoom: info.max_zoom,
            minZoom: map.getMinZoom(),
            maxZoom: map.getMaxZoom(),
            attribution: scene.attribution ? escapeText(scene.attribution) : "",
            keepBuffer: 3,
        };
        this.layer = null;
        const below = { attribution: basemap?.attribution, maxZoom: map.getMaxZoom(), maxNativeZoom: 19, zIndex: 0 };
        this.basemap = basemap && info.crs ? L.tileLayer(basemap.url, below) : null;
    }

    /**
     * Show other bands or another stretch. A new layer takes over once its tiles are there: no flash, and Leaflet's
     * own redraw() asks for tiles of fractional zoom levels.
     */
    setQuery(query) {
        if (query === this.query) return;
        this.query = query;
        const before = this.layer;
        this.layer = L.tileLayer(`${this.tileUrl}?${query}`, { ...this.options, opacity: this.#opacity });
        this.layer.once("tileload", () => {
            if (!performance.getEntriesByName(FIRST_IMAGERY).length) performance.mark(FIRST_IMAGERY);
        });
        this.layer.on("tileerror", askAgain);
        if (before) this.layer.once("load", () => before.remove());
        this.layer.addTo(this.map);
    }

    /** Address of one tile, in the bands and stretch that are shown. */
    urlOf(tile) {
        return `${L.Util.template(this.tileUrl, tile)}?${this.query ?? ""}`;
    }

    setOpacity(opacity) {
        this.#opacity = opacity;
        this.layer?.setOpacity(opacity);
    }

    showBasemap(shown) {
        if (!this.basemap) return;
        if (shown) this.basemap.addTo(this.map);
        else this.basemap.remove();
    }
}

/** A server that has too much to draw refuses tiles for a moment; Leaflet itself would leave holes. */
function askAgain({ tile }) {
    const tries = Number(tile.dataset.tries ?? 0);
    if (tries >= RETRIES_MS.length) return;
    tile.dataset.tries = tries + 1;
    const address = tile.src;
    setTimeout(() => {
        if (tile.isConnected) tile.src = address; // else it has left the view
    }, RETRIES_MS[tries] * (1 + Math.random() / 2));
}

/** Leaflet takes attributions as HTML; a scene's is plain text that somebody typed. */
function escapeText(text) {
    const holder = document.createElement("span");
    holder.textContent = text;
    return holder.innerHTML;
}
