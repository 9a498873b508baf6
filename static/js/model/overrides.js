/**
 * Classes of single pixels that people drew by hand, over those of the leaves: which blocks of the scene have any, and what
 * their values mean. A block's values are class numbers as they were drawn; a class that was deleted since does not show
 * (then the leaf does), and one that was merged shows as its target: webapp/editing/edits.py holds the same rule, and a test
 * the two together.
 */
import { BLOCK } from "./blocks.js";

const BLOCK_HEADER = 8;
const COUNTS_HEADER = 16;
export const VALUES = 256;

export const NO_OVERRIDES = Object.freeze({ version: 0, blocks: [] });

/** Which blocks are drawn on, and since which edit they are as they are. Never changed: `after` makes another one. */
export class OverrideIndex {
    #levels = new Map(); // level -> Map "row,col" -> {version, drawn}

    /** @param {{version: number, blocks: number[][]}} told [row, col, version, drawn] of blocks of level 0 */
    constructor(told = NO_OVERRIDES, before = new Map()) {
        this.version = told.version;
        const base = new Map(before);
        for (const [row, col, version, drawn] of told.blocks) base.set(`${row},${col}`, { row, col, version, drawn: drawn > 0 });
        this.#levels.set(0, base);
    }

    /** With what an edit changed. */
    after(told) {
        return new OverrideIndex(told, this.#levels.get(0));
    }

    /** @returns {{version: number, drawn: boolean}} of a block of a level: as new as the newest block under it */
    stateOf(level, row, col) {
        const { version, drawn } = this.#at(level).get(`${row},${col}`) ?? { version: 0, drawn: false };
        return { version, drawn };
    }

    get isEmpty() {
        return ![...this.#levels.get(0).values()].some(({ drawn }) => drawn);
    }

    #at(level) {
        if (!this.#levels.has(level)) {
            const found = new Map();
            for (const { row, col, version, drawn } of this.#levels.get(0).values()) {
                const key = `${row >> level},${col >> level}`;
                const known = found.get(key) ?? { version: 0, drawn: false };
                found.set(key, { version: Math.max(known.version, version), drawn: known.drawn || drawn });
            }
            this.#levels.set(level, found);
        }
        return this.#levels.get(level);
    }
}

/** @param {ArrayBuffer} buffer as docs/protocol.md lays it out @returns {{version: number, values: Uint8Array}} */
export function parseOverrideBlock(buffer) {
    const expected = BLOCK_HEADER + BLOCK * BLOCK;
    if (buffer.byteLength !== expected) {
        throw new Error(`A block that was drawn on should have ${expected} bytes and has ${buffer.byteLength}.`);
    }
    return { version: new DataView(buffer).getUint32(0, true), values: new Uint8Array(buffer, BLOCK_HEADER) };
}

/**
 * @param {ArrayBuffer} buffer as docs/protocol.md lays it out
 * @returns {{segmentation: number, leavesVersion: number, version: number, areaM2: Float64Array | null, pixels: Uint32Array,
 *     leaves: Uint16Array, values: Uint8Array}} areaM2 is null without a CRS
 */
export function parseOverrideCounts(buffer) {
    if (buffer.byteLength < COUNTS_HEADER) throw new Error(`Counts of ${buffer.byteLength} bytes are too short for their header.`);
    const [segmentation, leavesVersion, version, n] = new Uint32Array(buffer, 0, 4);
    if (buffer.byteLength !== COUNTS_HEADER + 15 * n) {
        throw new Error(`Counts of ${n} entries cannot have ${buffer.byteLength} bytes.`);
    }
    const areaM2 = new Float64Array(buffer, COUNTS_HEADER, n);
    return {
        segmentation,
        leavesVersion,
        version,
        areaM2: areaM2.some(Number.isNaN) ? null : areaM2,
        pixels: new Uint32Array(buffer, COUNTS_HEADER + 8 * n, n),
        leaves: new Uint16Array(buffer, COUNTS_HEADER + 12 * n, n),
        values: new Uint8Array(buffer, COUNTS_HEADER + 14 * n, n),
    };
}

/**
 * What each class number that was given shows as.
 * @param {{number: number, deleted: boolean, merged_into?: number | null}[]} classes deleted ones among them
 * @returns {Uint8Array} 256 class numbers; 0: it does not show
 */
export function shownClasses(classes) {
    const known = new Map(classes.filter(({ number }) => number > 0).map((label) => [label.number, label]));
    const shown = new Uint8Array(VALUES);
    for (const label of known.values()) {
        let standing = label;
        while (standing?.merged_into) standing = known.get(standing.merged_into);
        if (standing && !standing.deleted) shown[label.number] = standing.number;
    }
    return shown;
}

/** Color and class number of each value: a row of 256 texels, of which the shader reads red, green, blue, class. */
export function overrideTexels(shown, palette) {
    const texels = new Uint8Array(VALUES * 4);
    shown.forEach((number, value) => {
        const color = palette.get(number);
        if (color) texels.set([...color, number], 4 * value);
    });
    return texels;
}

/** Counts, where they are of the leaves that are shown; else null. */
export function countsFor(counts, segmentation) {
    const fits = counts?.segmentation === segmentation?.id && counts?.leavesVersion === (segmentation?.version ?? 0);
    return fits ? counts : null;
}

/**
 * What is left of each leaf beside the drawings that show, and what those hold.
 * @param {{values: Float64Array, pixels: Float64Array, inArea: boolean}} statistics of the leaves
 * @param {object | null} counts as parseOverrideCounts gives them
 * @param {Uint8Array} shown as shownClasses gives it
 * @returns {{left: Float64Array, byClass: Float64Array}} in the unit of `statistics.values`
 */
export function besideOverrides({ values, pixels, inArea }, counts, shown) {
    const byClass = new Float64Array(VALUES);
    if (!counts?.values.length) return { left: values, byClass };
    const left = values.slice();
    const leftPixels = pixels.slice();
    const sizes = inArea ? counts.areaM2 : counts.pixels;
    counts.values.forEach((value, index) => {
        const leaf = counts.leaves[index];
        if (!shown[value] || !sizes || leaf >= left.length) return;
        byClass[shown[value]] += sizes[index];
        left[leaf] -= sizes[index];
        leftPixels[leaf] -= counts.pixels[index];
    });
    // Pixels are whole numbers: a leaf of which none is left has no area either, whatever rounding says.
    for (const leaf of new Set(counts.leaves)) if (leaf < left.length && leftPixels[leaf] <= 0) left[leaf] = 0;
    return { left, byClass };
}
