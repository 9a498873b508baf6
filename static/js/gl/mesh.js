/** Vertices and triangles of a block's mesh. */

/**
 * Positions relative to the middle of the block: float32 holds the small differences to a millionth of a block, where
 * it would hold Web Mercator itself to a metre or two only.
 * @param {Float64Array} points n x n x 2 plane positions
 * @returns {{vertices: Float32Array, center: number[], bounds: number[]}} vertices: x, y, column, row; bounds: plane
 *     [west, south, east, north] (north = larger y)
 */
export function meshVertices(points, n, usedWidth, usedHeight) {
    const bounds = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < n * n; i++) {
        bounds[0] = Math.min(bounds[0], points[2 * i]);
        bounds[1] = Math.min(bounds[1], points[2 * i + 1]);
        bounds[2] = Math.max(bounds[2], points[2 * i]);
        bounds[3] = Math.max(bounds[3], points[2 * i + 1]);
    }
    const center = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2];
    const vertices = new Float32Array(n * n * 4);
    for (let row = 0; row < n; row++) {
        for (let col = 0; col < n; col++) {
            const i = row * n + col;
            vertices[4 * i] = points[2 * i] - center[0];
            vertices[4 * i + 1] = points[2 * i + 1] - center[1];
            vertices[4 * i + 2] = (col / (n - 1)) * usedWidth;
            vertices[4 * i + 3] = (row / (n - 1)) * usedHeight;
        }
    }
    return { vertices, center, bounds };
}

/** Two triangles a cell, cut from its top left to its bottom right. */
export function meshTriangles(n) {
    const indices = new Uint32Array((n - 1) * (n - 1) * 6);
    let next = 0;
    for (let row = 0; row < n - 1; row++) {
        for (let col = 0; col < n - 1; col++) {
            const topLeft = row * n + col;
            const [topRight, bottomLeft, bottomRight] = [topLeft + 1, topLeft + n, topLeft + n + 1];
            indices.set([topLeft, topRight, bottomRight, topLeft, bottomRight, bottomLeft], next);
            next += 6;
        }
    }
    return indices;
}
