/** From a pointer's way over the map to the pixels that stand for it. */

export const MOST_POINTS = 200; // pixels of one stroke; more of them along one line teach nothing new

/**
 * Pixels on the way along some positions, in order, each once; what lies outside the scene is left out.
 * @param {{row: number, col: number}[]} way positions on the pixel grid, fractions included
 * @returns {number[][]} [row, col]
 */
export function pixelsAlong(way, height, width) {
    const pixels = new Map();
    const add = (row, col) => {
        const [r, c] = [Math.floor(row), Math.floor(col)];
        if (r >= 0 && c >= 0 && r < height && c < width) pixels.set(r * width + c, [r, c]);
    };
    way.forEach((to, index) => {
        const from = way[Math.max(0, index - 1)];
        // Half a pixel is fine enough to meet every pixel but those that are only cut at a corner. A way from far
        // outside the scene need not be walked pixel by pixel.
        const length = Math.max(Math.abs(to.row - from.row), Math.abs(to.col - from.col));
        const steps = Math.min(Math.max(1, Math.ceil(length * 2)), 4 * (height + width));
        for (let step = 1; step <= steps; step++) {
            const share = step / steps;
            add(from.row + (to.row - from.row) * share, from.col + (to.col - from.col) * share);
        }
    });
    return [...pixels.values()];
}

/** At most `most` of the items, evenly chosen, the first and the last among them. */
export function thinned(items, most = MOST_POINTS) {
    if (items.length <= most) return items;
    if (most === 1) return [items[0]];
    return Array.from({ length: most }, (_, index) => items[Math.round((index * (items.length - 1)) / (most - 1))]);
}
