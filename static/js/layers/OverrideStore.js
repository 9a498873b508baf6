/**
 * Drawn values of the blocks that are, or were lately, on screen. Each has one texel of its neighbors around, as the leaf ids
 * have (gl/apron.js), so that outlines see across the border. Knows no GL: `dirty` says what to upload.
 */
import { DIRECTIONS, PADDED, SIDE, takeEdge, writeIds } from "../gl/apron.js";
import { BLOCK, blockKey } from "../model/blocks.js";

const NOTHING = new Uint8Array(PADDED);

const defaults = {
    most: 256, // blocks kept, a quarter of a megabyte each and as much again in textures
};

export class OverrideStore {
    #entries = new Map();
    #clock = 0;

    constructor(options = {}) {
        this.options = { ...defaults, ...options };
    }

    #entry(level, row, col) {
        const key = blockKey(level, row, col);
        // Version 0: nothing was fetched for it, and it only holds what neighbors have along its edges.
        if (!this.#entries.has(key)) this.#entries.set(key, { key, level, row, col, version: 0, values: new Uint8Array(PADDED), dirty: true, used: 0 });
        return this.#entries.get(key);
    }

    /** What a block is drawn with, or null where nothing is known of it. */
    get(level, row, col) {
        const entry = this.#entries.get(blockKey(level, row, col)) ?? null;
        if (entry) entry.used = ++this.#clock;
        return entry;
    }

    versionOf(level, row, col) {
        return this.#entries.get(blockKey(level, row, col))?.version ?? 0;
    }

    /** @param {Uint8Array} values 512 x 512 */
    put(level, row, col, version, values) {
        const entry = this.#entry(level, row, col);
        entry.version = version;
        writeIds(entry.values, values, 0, 0, BLOCK, BLOCK);
        this.#share(entry);
        entry.dirty = true;
        entry.used = ++this.#clock;
    }

    /** Nothing is drawn there any more. @returns {object[]} what was dropped, for its textures to be freed */
    drop(level, row, col) {
        const entry = this.#entries.get(blockKey(level, row, col));
        if (!entry) return [];
        this.#entries.delete(entry.key);
        for (const [dRow, dCol] of DIRECTIONS) {
            const other = this.#entries.get(blockKey(level, row + dRow, col + dCol));
            if (!other) continue;
            takeEdge(other.values, NOTHING, -dRow, -dCol);
            other.dirty = true;
        }
        return [entry];
    }

    #share(entry) {
        const { level, row, col } = entry;
        for (const [dRow, dCol] of DIRECTIONS) {
            if (row + dRow < 0 || col + dCol < 0) continue;
            const known = this.#entries.has(blockKey(level, row + dRow, col + dCol));
            if (!known && !hasEdge(entry.values, dRow, dCol)) continue;
            const other = this.#entry(level, row + dRow, col + dCol);
            takeEdge(entry.values, other.values, dRow, dCol);
            takeEdge(other.values, entry.values, -dRow, -dCol);
            other.dirty = true;
        }
    }

    /** @returns {{level: number, row: number, col: number}[]} every block of which something is known */
    all() {
        return [...this.#entries.values()].map(({ level, row, col }) => ({ level, row, col }));
    }

    /** Value of a texel. */
    valueAt(level, row, col, texelRow, texelCol) {
        const entry = this.#entries.get(blockKey(level, row, col));
        return entry ? entry.values[(texelRow + 1) * SIDE + texelCol + 1] : 0;
    }

    /**
     * Drop those used longest ago.
     * @param {Set<string>} keep keys of the blocks in view
     * @returns {object[]} what was dropped
     */
    evict(keep) {
        const excess = this.#entries.size - this.options.most;
        if (excess <= 0) return [];
        const candidates = [...this.#entries.values()].filter(({ key }) => !keep.has(key)).sort((a, b) => a.used - b.used);
        const dropped = candidates.slice(0, excess);
        for (const { key } of dropped) this.#entries.delete(key);
        return dropped;
    }
}

/** Whether a block has a value along one of its edges, or in a corner. */
function hasEdge(values, dRow, dCol) {
    const span = (d) => (d === 0 ? [1, BLOCK] : d < 0 ? [1, 1] : [BLOCK, BLOCK]);
    const [fromRow, toRow] = span(dRow);
    const [fromCol, toCol] = span(dCol);
    for (let row = fromRow; row <= toRow; row++) {
        for (let col = fromCol; col <= toCol; col++) if (values[row * SIDE + col]) return true;
    }
    return false;
}
