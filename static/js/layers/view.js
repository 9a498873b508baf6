/** From plane positions (model/grid.js) to CSS pixels of the map's container and back, also amid a zoom animation. */

/**
 * Leaflet's CRS maps projected metres to world pixels with one affine transformation and a scale; for scenes without
 * CRS a pixel of the scene is 2^-maxZoom of Leaflet's unit, so that zoom `maxZoom` shows one tile pixel a scene pixel.
 */
function planeToWorld(map, info, leafletZoom) {
    const scale = map.options.crs.scale(leafletZoom);
    if (!info.crs) {
        const unit = scale / 2 ** info.max_zoom;
        return { scaleX: unit, scaleY: unit, x: 0, y: 0 };
    }
    const { _a: a, _b: b, _c: c, _d: d } = map.options.crs.transformation;
    return { scaleX: a * scale, scaleY: c * scale, x: b * scale, y: d * scale };
}

/**
 * How far Leaflet's zoom animation has come, from 0 to 1. Its proxy element runs through the very transition that the
 * tiles run through, so the overlay drawn from it stays on the imagery.
 */
function animationProgress(map, animation) {
    const matrix = new DOMMatrixReadOnly(getComputedStyle(map._proxy).transform);
    const [from, to] = [map.getZoomScale(animation.fromZoom, 1), map.getZoomScale(animation.zoom, 1)];
    if (from === to) return 1;
    return Math.max(0, Math.min(1, (matrix.a - from) / (to - from)));
}

/**
 * The current view: the container's CSS pixel of plane position (X, Y) is (X * scaleX + x, Y * scaleY + y).
 * @param {L.Map} map
 * @param {object} info scene info
 * @param {object | null} animation running zoom animation, as `startAnimation` gives it
 */
export function currentView(map, info, animation = null) {
    const world = planeToWorld(map, info, animation ? animation.fromZoom : map.getZoom());
    const pane = map._getMapPanePos();
    let [zoom, origin] = [1, map.getPixelOrigin()];
    if (animation) {
        // Tiles move linearly (in the transition's own time) from where they are to where they will be.
        const t = animationProgress(map, animation);
        zoom = 1 + t * (map.getZoomScale(animation.zoom, animation.fromZoom) - 1);
        origin = animation.fromOrigin.add(animation.toOrigin.subtract(animation.fromOrigin).multiplyBy(t));
    }
    return {
        scaleX: world.scaleX * zoom,
        scaleY: world.scaleY * zoom,
        x: world.x * zoom - origin.x + pane.x,
        y: world.y * zoom - origin.y + pane.y,
    };
}

/** What a zoom animation starts from: right after its event, Leaflet's map says that it is at the target already. */
export function startAnimation(map, { center, zoom }) {
    return { zoom, fromZoom: map.getZoom(), fromOrigin: map.getPixelOrigin(), toOrigin: map._getNewPixelOrigin(center, zoom) };
}

export const toContainer = (view, [x, y]) => ({ x: x * view.scaleX + view.x, y: y * view.scaleY + view.y });

export const toPlane = (view, { x, y }) => [(x - view.x) / view.scaleX, (y - view.y) / view.scaleY];

/** Leaflet position of a plane position. */
export function toLatLng(map, info, [x, y]) {
    if (!info.crs) return L.latLng(-y / 2 ** info.max_zoom, x / 2 ** info.max_zoom);
    return map.options.crs.projection.unproject(L.point(x, y));
}

/** Plane position of a Leaflet position; the inverse of `toLatLng`. */
export function fromLatLng(map, info, latlng) {
    if (!info.crs) return [latlng.lng * 2 ** info.max_zoom, -latlng.lat * 2 ** info.max_zoom];
    const point = map.options.crs.projection.project(latlng);
    return [point.x, point.y];
}
