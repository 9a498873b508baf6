/** Places to click next: which one follows, what is said of it, and which imagery tiles show it. */
import { formatArea, formatPixels } from "./areas.js";
import { formatCertainty } from "./completion.js";

const TILE = 256; // pixels a side

export const samePlace = (one, other) => Boolean(one && other) && one.row === other.row && one.col === other.col;

/** The one after `active` in the list, in turn; the first where that is not in it. Null without any. */
export function following(list, active) {
    if (!list.length) return null;
    return list[(list.findIndex((one) => samePlace(one, active)) + 1) % list.length];
}

/**
 * What is known of a place, in words.
 * @param {{area_px: number, certainty: number}} place as GET /api/projects/<id>/suggestions gives it
 * @param {{name: string} | null} label its likely class
 * @param {number | null} gsd pixel size on the ground, m
 */
export function describePlace(place, label, gsd) {
    const size = gsd ? formatArea(place.area_px * gsd * gsd) : formatPixels(place.area_px);
    const guess = label ? `likely ${label.name}, ${formatCertainty(place.certainty)} sure` : "not known at all";
    return `${guess}; about ${size}`;
}

/**
 * Tiles that cover a square of the world, and where they go on a square canvas.
 * @param {{x: number, y: number}} middle world pixel at `zoom` that the canvas shows in its middle
 * @param {number} side of the square, world pixels at `zoom`
 * @param {number} zoom of the tiles, an integer
 * @param {number} canvas side of the canvas, its own pixels
 * @param {boolean} wraps whether x starts again after a turn around the Earth
 * @returns {{z: number, x: number, y: number, left: number, top: number, size: number}[]}
 */
export function tilesOver(middle, side, zoom, canvas, wraps) {
    const scale = canvas / side;
    const [left, top] = [middle.x - side / 2, middle.y - side / 2];
    const around = 2 ** zoom;
    const tiles = [];
    for (let y = Math.floor(top / TILE); y * TILE < top + side; y++) {
        for (let x = Math.floor(left / TILE); x * TILE < left + side; x++) {
            if (y < 0 || (!wraps && x < 0)) continue;
            tiles.push({
                z: zoom,
                x: wraps ? ((x % around) + around) % around : x,
                y,
                left: (x * TILE - left) * scale,
                top: (y * TILE - top) * scale,
                size: TILE * scale,
            });
        }
    }
    return tiles;
}
