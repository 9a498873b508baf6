/** Leaf blocks that the page holds, least recently used out first. Knows no GL: `dirty` says what to upload. */
import { DIRECTIONS, emptyPadded, holdsAny, PADDED, repeatEdges, takeEdge, writeIds } from "../gl/apron.js";
import { BLOCK, blockKey } from "../model/blocks.js";

const defaults = {
    budget: 192 * 2 ** 20, // bytes of ids kept in memory, and as much again in textures
};

const BLOCK_BYTES = PADDED * 2;

export class BlockCache {
    #blocks = new Map();
    #clock = 0;
    #outdated = null; // 1 for each number that no block should hold any more

    constructor(options = {}) {
        this.options = { ...defaults, ...options };
    }

    get size() {
        return this.#blocks.size;
    }

    get bytes() {
        return this.#blocks.size * BLOCK_BYTES;
    }

    get(level, row, col) {
        return this.#blocks.get(blockKey(level, row, col));
    }

    values() {
        return this.#blocks.values();
    }

    isComplete(level, row, col) {
        return this.get(level, row, col)?.complete === true;
    }

    touch(block) {
        block.used = ++this.#clock;
    }

    /**
     * Put what a frame brought into place.
     * @param {object} frame as parseFrame gives it
     * @param {Uint16Array} ids its payload, inflated
     * @returns {object | null} the block, or null where the frame brought nothing new
     */
    add(frame, ids) {
        if (ids.length !== frame.height * frame.width) {
            throw new Error(`A leaf block of ${frame.height} x ${frame.width} texels holds ${ids.length} ids.`);
        }
        const key = blockKey(frame.level, frame.row, frame.col);
        let block = this.#blocks.get(key);
        if (block?.complete && (frame.isPatch || frame.version < block.version)) return null;
        if (!block) {
            // The mesh on its own: as a part of the frame it would keep all of it in memory.
            block = { ...frame, key, payload: null, mesh: frame.mesh.slice(), ids: emptyPadded(), complete: false, patches: new Set() };
            this.#blocks.set(key, block);
        }
        block.version = frame.version;
        writeIds(block.ids, ids, frame.rowOffset, frame.colOffset, frame.height, frame.width);
        this.#countFilled(block, frame);
        if (this.#isOutdated(block)) block.complete = false; // it was sent before its leaves were split
        repeatEdges(block.ids);
        this.#shareEdges(block);
        block.dirty = "all";
        this.touch(block);
        return block;
    }

    /**
     * Leaves were split, or joined again: blocks that hold numbers which are out of use are to come once more.
     * @param {Uint8Array} outdated 1 for each such number
     * @returns {boolean} whether there are any
     */
    expire(outdated) {
        this.#outdated = outdated;
        let found = false;
        for (const block of this.#blocks.values()) {
            if (!block.complete || !this.#isOutdated(block)) continue;
            block.complete = false;
            found = true;
        }
        return found;
    }

    #isOutdated(block) {
        return this.#outdated !== null && holdsAny(block.ids, this.#outdated);
    }

    /** Patches come in runs of level-0 blocks, some of them twice: count the level-0 blocks that are there. */
    #countFilled(block, frame) {
        if (!frame.isPatch) {
            block.complete = true;
            return;
        }
        const side = Math.max(1, BLOCK >> block.level); // texels of a level-0 block at this level
        const parts = (texels) => Math.ceil(texels / side);
        for (let row = frame.rowOffset / side; row < parts(frame.rowOffset + frame.height); row++) {
            for (let col = frame.colOffset / side; col < parts(frame.colOffset + frame.width); col++) {
                block.patches.add(`${row},${col}`);
            }
        }
        block.complete = block.patches.size >= parts(block.usedHeight) * parts(block.usedWidth);
    }

    #shareEdges(block) {
        for (const [dRow, dCol] of DIRECTIONS) {
            const other = this.get(block.level, block.row + dRow, block.col + dCol);
            if (!other) continue;
            takeEdge(block.ids, other.ids, dRow, dCol);
            takeEdge(other.ids, block.ids, -dRow, -dCol);
            other.dirty ||= "apron";
        }
    }

    /**
     * Drop the least recently used blocks over the budget. Blocks filled by patches stay: their patches come only once.
     * @param {Set<string>} keep keys that must stay
     * @returns {object[]} what was dropped, for its textures to be freed
     */
    evict(keep, budget = this.options.budget) {
        const excess = Math.ceil((this.bytes - budget) / BLOCK_BYTES);
        if (excess <= 0) return [];
        const candidates = [...this.#blocks.values()].filter((block) => !keep.has(block.key) && !block.patches.size);
        const dropped = candidates.sort((a, b) => a.used - b.used).slice(0, excess);
        for (const block of dropped) this.#blocks.delete(block.key);
        return dropped;
    }

    /**
     * Blocks to draw, in order of preference: wanted ones first; around those still missing, finer and coarser ones.
     * @param {{level: number, blocks: number[][]}} wanted
     */
    toDraw({ level, blocks }) {
        const present = blocks.map(([row, col]) => this.get(level, row, col)).filter(Boolean);
        const missing = blocks.filter(([row, col]) => !this.isComplete(level, row, col));
        if (!missing.length) return present;
        const away = (block) => Math.abs(block.level - level) + (block.level > level ? 0.5 : 0);
        const covers = (block) =>
            missing.some(([row, col]) => {
                const [fine, coarse] = [2 ** level, 2 ** block.level];
                const overlaps = (a, b) => a * fine < (b + 1) * coarse && b * coarse < (a + 1) * fine;
                return overlaps(row, block.row) && overlaps(col, block.col);
            });
        const others = [...this.values()].filter((block) => block.level !== level && covers(block));
        return [...present, ...others.sort((a, b) => away(a) - away(b))];
    }

    clear() {
        const dropped = [...this.#blocks.values()];
        this.#blocks.clear();
        return dropped;
    }

    /**
     * The block that shows a pixel most finely, with the texel inside it.
     * @returns {{block: object, row: number, col: number} | null}
     */
    finestAt(pixelRow, pixelCol, nLevels) {
        for (let level = 0; level < nLevels; level++) {
            const row = Math.floor(pixelRow / 2 ** level);
            const col = Math.floor(pixelCol / 2 ** level);
            const block = this.get(level, Math.floor(row / BLOCK), Math.floor(col / BLOCK));
            if (block) return { block, row: row % BLOCK, col: col % BLOCK };
        }
        return null;
    }
}
