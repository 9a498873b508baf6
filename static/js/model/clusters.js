/** The clusters of one cut: which leaves each one holds, what names them, and how they light up. */
import { LOOKUP_SIDE } from "./lookup.js";
import { meantBy, namedBy, RefinedTree, sumWhere, valueWhere } from "./splits.js";

export class Clusters {
    #ranges = new Map(); // cluster -> the ranges that name it
    #lights = null; // of the cluster asked for last
    #lit = -1;

    /**
     * @param {object} base as parseTree gives it
     * @param {object} splits as docs/protocol.md describes them
     * @param {number} cut
     */
    constructor(base, splits, cut) {
        this.splits = splits;
        this.refined = new RefinedTree(base, splits);
        this.tree = this.refined.tree;
        this.of = this.refined.clustersAt(cut); // cluster (node) of each leaf
    }

    /** @returns {{node: number, low: number, high: number, ranges: number[][]} | null} */
    at(leaf) {
        if (leaf === null || leaf >= this.of.length) return null;
        const node = this.of[leaf];
        return { node, low: this.tree.low[node], high: this.tree.high[node], ranges: this.rangesOf(node) };
    }

    /** The ranges that name exactly the leaves of a cluster. */
    rangesOf(node) {
        if (!this.#ranges.has(node)) this.#ranges.set(node, this.refined.rangesOf(this.of, node));
        return this.#ranges.get(node);
    }

    /** One byte for each number, 255 where it belongs to the cluster: the same array as long as the cluster is the same. */
    lightsOf(node) {
        if (node === this.#lit) return this.#lights;
        this.#lit = node;
        this.#lights = new Uint8Array(LOOKUP_SIDE * LOOKUP_SIDE);
        for (let leaf = 0; leaf < this.of.length; leaf++) if (this.of[leaf] === node) this.#lights[leaf] = 255;
        return this.#lights;
    }

    /** The one value that a table holds over a cluster, or null where it holds several. */
    valueOf(table, node) {
        return valueWhere(table, this.of, node, this.splits);
    }

    /** Sum of values over a cluster. */
    sumOf(values, node) {
        return sumWhere(values, this.of, node);
    }

    /** Sum of values over the leaves that ranges name. */
    sumOver(values, ranges) {
        const named = namedBy(ranges, values.length, this.splits);
        return values.reduce((sum, value, leaf) => (named[leaf] ? sum + value : sum), 0);
    }

    meantBy(click, others, table) {
        return meantBy(this.refined, this.of, click, others, table);
    }

    /**
     * The best parts of a cluster along the tree, fewer than asked for where it has fewer leaves.
     * @returns {{part: number[], ranges: number[][]}[]} the range of each part's node, and what it holds of the cluster
     */
    partsOf(node, count) {
        if (node >= this.refined.base.parent.length) return [];
        const parts = this.refined.partsOf(node, count);
        return parts.map((part) => ({ part, ranges: this.refined.rangesOf(this.of, node, part) }));
    }
}
