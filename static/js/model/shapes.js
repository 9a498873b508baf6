/** Shapes drawn on the map, as rings of [row, col] on the pixel grid. */

export const MOST_CORNERS = 5000; // of one shape; the server takes twice as many

/** Every nth corner where there are too many for one shape. */
export function thinnedRing(ring, most = MOST_CORNERS) {
    if (ring.length <= most) return ring;
    const step = ring.length / most;
    return Array.from({ length: most }, (_, index) => ring[Math.floor(index * step)]);
}

/** The corners of a rectangle on screen, with points between them: on the pixel grid its sides may be bent. */
export function rectangleAround(from, to, perSide = 16) {
    const corners = [from, { x: to.x, y: from.y }, to, { x: from.x, y: to.y }];
    return corners.flatMap((corner, index) => {
        const next = corners[(index + 1) % 4];
        return Array.from({ length: perSide }, (_, step) => ({
            x: corner.x + ((next.x - corner.x) * step) / perSide,
            y: corner.y + ((next.y - corner.y) * step) / perSide,
        }));
    });
}

/** Positions rounded to hundredths of a pixel: finer than any hand, and half as long to send. */
export const roundedRing = (ring) => ring.map(({ row, col }) => [Math.round(row * 100) / 100, Math.round(col * 100) / 100]);
