/** The scene's own tiles, and a base map below them where the settings name one. */

const KEEP_ZOOMING = 8; // zoom levels past the scene's finest tiles

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
    constructor(map, scene, tileUrl, basemap, bounds) {
        this.map = map;
        this.tileUrl = tileUrl;
        const { info } = scene;
        this.layer = L.tileLayer("", {
            bounds,
            minNativeZoom: info.min_zoom,
            maxNativeZoom: info.max_zoom,
            minZoom: map.getMinZoom(),
            maxZoom: map.getMaxZoom(),
            attribution: scene.attribution ? escapeText(scene.attribution) : "",
            keepBuffer: 3,
        });
        this.layer.once("tileload", () => performance.mark("clusternet:first-imagery"));
        this.basemap = basemap && info.crs
            ? L.tileLayer(basemap.url, { attribution: basemap.attribution, maxZoom: map.getMaxZoom(), maxNativeZoom: 19, zIndex: 0 })
            : null;
    }

    setQuery(query) {
        if (query === this.query) return;
        this.query = query;
        this.layer.setUrl(`${this.tileUrl}?${query}`, true);
        if (this.map.hasLayer(this.layer)) this.layer.redraw();
        else this.layer.addTo(this.map);
    }

    setOpacity(opacity) {
        this.layer.setOpacity(opacity);
    }

    showBasemap(shown) {
        if (!this.basemap) return;
        if (shown) this.basemap.addTo(this.map);
        else this.basemap.remove();
    }
}

/** Leaflet takes attributions as HTML; a scene's is plain text that somebody typed. */
function escapeText(text) {
    const holder = document.createElement("span");
    holder.textContent = text;
    return holder.innerHTML;
}
