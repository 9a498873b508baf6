/**
 * The overlay on screen and, after another segmentation was adopted, the one that takes its place: the old sheet stays
 * until the new one can fill the view, so that the map is never blank. Knows no GL: what is dropped comes back, for its
 * textures to be freed.
 */
import { BlockCache } from "./BlockCache.js";

/** One segmentation's blocks, and the lookup tables that color them. */
export class Sheet {
    tables = null; // {mode, colors, keys, certainty}, once its tree is there

    constructor(segmentation, budget) {
        this.segmentation = segmentation;
        this.cache = new BlockCache({ budget });
    }

    /** Whether it can fill the view. */
    covers({ level, blocks }) {
        return this.tables !== null && blocks.every(([row, col]) => this.cache.isComplete(level, row, col));
    }
}

export class Sheets {
    /** @param {number} budget bytes of block ids, of both sheets together */
    constructor(budget) {
        this.budget = budget;
        this.shown = new Sheet(null, budget);
        this.next = null;
    }

    /** The sheet of the adopted segmentation, on screen or not yet. */
    get newest() {
        return this.next ?? this.shown;
    }

    /** @returns {Sheet | null} the sheet that a segmentation's blocks and tables belong to */
    of(segmentation) {
        return [this.newest, this.shown].find((sheet) => sheet.segmentation === segmentation) ?? null;
    }

    /**
     * Another segmentation is adopted, or none (null), which leaves nothing to show.
     * @returns {object[]} dropped blocks
     */
    adopt(segmentation) {
        if (segmentation === this.newest.segmentation) return [];
        const dropped = this.next?.cache.clear() ?? [];
        this.next = null;
        if (segmentation === this.shown.segmentation) return dropped; // back to the one that never left the screen
        const sheet = new Sheet(segmentation, this.budget);
        if (segmentation !== null && this.shown.cache.size) {
            this.next = sheet;
            return dropped;
        }
        dropped.push(...this.shown.cache.clear());
        this.shown = sheet;
        return dropped;
    }

    /**
     * Put the new sheet in the old one's place, if it can fill the view.
     * @param {{level: number, blocks: number[][]}} wanted what the view needs
     * @returns {object[] | null} dropped blocks; null where nothing was changed
     */
    swap(wanted) {
        if (!this.next?.covers(wanted)) return null;
        const dropped = this.shown.cache.clear();
        this.shown = this.next;
        this.next = null;
        return dropped;
    }

    /**
     * Keep within the budget: what the old sheet holds beside its view goes first.
     * @param {Set<string>} keep keys of the blocks in view
     * @returns {object[]} dropped blocks
     */
    evict(keep) {
        const dropped = this.newest.cache.evict(keep);
        if (this.next) dropped.push(...this.shown.cache.evict(keep, this.budget - this.next.cache.bytes));
        return dropped;
    }
}
