/**
 * A block's ids with one texel of its neighbors around them, so that outlines and averages see across the border.
 * Where no neighbor is known, the block's own edge is repeated: no false outline.
 */
import { BLOCK, NODATA } from "../model/blocks.js";

export const SIDE = BLOCK + 2;
export const PADDED = SIDE * SIDE;
const LAST = BLOCK; // padded index of the block's last row or column

export function emptyPadded() {
    return new Uint16Array(PADDED).fill(NODATA);
}

/** Copy a window of ids into the block. */
export function writeIds(padded, ids, rowOffset, colOffset, height, width) {
    for (let row = 0; row < height; row++) {
        const to = (row + rowOffset + 1) * SIDE + colOffset + 1;
        padded.set(ids.subarray(row * width, (row + 1) * width), to);
    }
}

export function idAt(padded, row, col) {
    return padded[(row + 1) * SIDE + col + 1];
}

/** Repeat the block's own edge all round. */
export function repeatEdges(padded) {
    for (let row = 1; row <= LAST; row++) {
        padded[row * SIDE] = padded[row * SIDE + 1];
        padded[row * SIDE + LAST + 1] = padded[row * SIDE + LAST];
    }
    padded.copyWithin(0, SIDE, 2 * SIDE);
    padded.copyWithin((LAST + 1) * SIDE, LAST * SIDE, (LAST + 1) * SIDE);
}

/**
 * Copy the touching edge of a neighbor into the apron.
 * @param {Uint16Array} other the neighbor's padded ids
 * @param {number} dRow,dCol where the neighbor lies: one of the eight directions
 */
export function takeEdge(padded, other, dRow, dCol) {
    const span = (d) => (d === 0 ? [1, LAST] : d < 0 ? [0, 0] : [LAST + 1, LAST + 1]);
    const [fromRow, toRow] = span(dRow);
    const [fromCol, toCol] = span(dCol);
    for (let row = fromRow; row <= toRow; row++) {
        for (let col = fromCol; col <= toCol; col++) {
            padded[row * SIDE + col] = other[(row - dRow * BLOCK) * SIDE + col - dCol * BLOCK];
        }
    }
}

export const DIRECTIONS = [-1, 0, 1]
    .flatMap((dRow) => [-1, 0, 1].map((dCol) => [dRow, dCol]))
    .filter(([dRow, dCol]) => dRow || dCol);

/** Whether a block itself, its neighbors' edges left out, holds one of the ids that `marks` has 1 for. */
export function holdsAny(padded, marks) {
    for (let row = 1; row < SIDE - 1; row++) {
        for (let at = row * SIDE + 1; at < (row + 1) * SIDE - 1; at++) if (marks[padded[at]]) return true;
    }
    return false;
}
