/** Leaf blocks: their binary frame, their keys, and which of them to ask for. */

export const BLOCK = 512; // texels a side, also at the scene's edges
export const NODATA = 65535;
const HEADER_BYTES = 40;
const MAGIC = 0x424c4e43; // "CNLB", little endian

export const blockKey = (level, row, col) => `${level}/${row}/${col}`;

/** Rows and columns of blocks at a level of a scene. */
export function blocksAcross(height, width, level) {
    const side = BLOCK * 2 ** level;
    return { rows: Math.ceil(height / side), cols: Math.ceil(width / side) };
}

/**
 * Read one binary frame.
 * @param {ArrayBuffer} buffer
 * @returns {object} the header's fields, `mesh` (Float64Array of n x n x 2) and `payload` (Uint8Array, gzip)
 */
export function parseFrame(buffer) {
    if (buffer.byteLength < HEADER_BYTES) throw new Error(`A frame of ${buffer.byteLength} bytes is no leaf block.`);
    const view = new DataView(buffer);
    if (view.getUint32(0, true) !== MAGIC) throw new Error("A binary frame does not begin with CNLB.");
    const format = view.getUint8(4);
    if (format !== 1) throw new Error(`Leaf block format ${format} is newer than this page; reload it.`);
    const n = view.getUint16(6, true);
    const payloadBytes = view.getUint32(36, true);
    const expected = HEADER_BYTES + n * n * 16 + payloadBytes;
    if (n < 2 || buffer.byteLength !== expected) {
        throw new Error(`A leaf block should have ${expected} bytes and has ${buffer.byteLength}.`);
    }
    const height = view.getUint16(32, true);
    const width = view.getUint16(34, true);
    return {
        level: view.getUint8(5),
        n,
        segmentation: view.getUint32(8, true),
        version: view.getUint32(12, true),
        row: view.getUint32(16, true),
        col: view.getUint32(20, true),
        usedHeight: view.getUint16(24, true),
        usedWidth: view.getUint16(26, true),
        rowOffset: view.getUint16(28, true),
        colOffset: view.getUint16(30, true),
        height,
        width,
        isPatch: height !== BLOCK || width !== BLOCK,
        mesh: new Float64Array(buffer, HEADER_BYTES, n * n * 2),
        payload: new Uint8Array(buffer, HEADER_BYTES + n * n * 16, payloadBytes),
    };
}

/** Inflate with the browser's own codec; `format` as in DecompressionStream. */
export async function inflate(bytes, format) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
    return new Response(stream).arrayBuffer();
}

/**
 * The finest level whose texels are at least `smallest` screen pixels wide.
 * @param {number} pixelsPerTexel screen pixels per scene pixel
 */
export function levelForScale(pixelsPerTexel, nLevels, smallest = 0.75) {
    const level = Math.ceil(Math.log2(smallest / pixelsPerTexel) - 1e-9);
    return Math.max(0, Math.min(nLevels - 1, level));
}

/**
 * Blocks of a level under a window of scene pixels.
 * @param {{top: number, left: number, bottom: number, right: number}} window scene pixels, bottom and right exclusive
 * @param {number} margin rings of blocks around
 * @param {{row: number, col: number}} focus scene pixel; nearest blocks first
 * @returns {number[][]} [row, col]
 */
export function blocksUnder(window, level, height, width, margin, focus) {
    const side = BLOCK * 2 ** level;
    const { rows, cols } = blocksAcross(height, width, level);
    const clamp = (value, limit) => Math.max(0, Math.min(limit - 1, value));
    if (window.bottom <= 0 || window.right <= 0 || window.top >= height || window.left >= width) return [];
    const top = clamp(Math.floor(window.top / side) - margin, rows);
    const bottom = clamp(Math.ceil(window.bottom / side) - 1 + margin, rows);
    const left = clamp(Math.floor(window.left / side) - margin, cols);
    const right = clamp(Math.ceil(window.right / side) - 1 + margin, cols);
    const found = [];
    for (let row = top; row <= bottom; row++) for (let col = left; col <= right; col++) found.push([row, col]);
    const away = ([row, col]) => Math.hypot((row + 0.5) * side - focus.row, (col + 0.5) * side - focus.col);
    return found.sort((a, b) => away(a) - away(b));
}
