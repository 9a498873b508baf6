/**
 * Leaves and clusters that people have cut finer. A split leaf stands for its children, so that a range around it names
 * them too; children whose split was undone act as their parent. The parts of a split cluster are clusters of their own
 * at every granularity. `webapp/editing/refinements.py` holds the same rules; a test holds the two together.
 */
import { clampCut, clusterOfLeaves } from "./tree.js";

export const FIRST_CHILD = 61440; // numbers below are for the leaves of the segmentation itself
export const MAX_PARTS = 8;
export const NO_SPLITS = { version: 0, leaves: [], clusters: [] };
const NEAR = 2; // pixels: two clicks whose 3 x 3 neighborhoods overlap mean the same thing

/** Entries of a table: one for each number up to the last child's. */
export function tableSize(nLeaves, splits) {
    return splits.leaves.reduce((size, [, first, n]) => Math.max(size, first + n), nLeaves);
}

/** A table with an entry for every child: new ones have the class of their parent. */
export function extendTable(table, splits) {
    const size = tableSize(table.length, splits);
    if (size === table.length) return table;
    const full = new Uint8Array(size);
    full.set(table);
    for (const [parent, first, n] of splits.leaves) {
        if (first >= table.length) full.fill(full[parent], first, first + n);
    }
    return full;
}

/**
 * Give leaves, and the children of those among them, classes.
 * @param {Uint8Array} table
 * @param {number[][]} changes [low, high, class]
 * @returns {Uint8Array} a copy
 */
export function painted(table, changes, splits) {
    const result = table.slice();
    for (const [low, high, classNumber] of changes) {
        if (!splits.leaves.length) {
            result.fill(classNumber, low, high);
            continue;
        }
        const named = namedBy([[low, high]], result.length, splits);
        for (let leaf = 0; leaf < result.length; leaf++) if (named[leaf]) result[leaf] = classNumber;
    }
    return result;
}

/** 1 for every number that ranges name, children included. */
export function namedBy(ranges, size, splits) {
    const named = new Uint8Array(size);
    for (const [low, high] of ranges) named.fill(1, low, high);
    for (const [parent, first, n, live] of splits.leaves) {
        for (let child = first; child < first + n; child++) named[child] = (live && named[child]) || named[parent];
    }
    return named;
}

/** The node that is the leaves [low, high), or null. */
export function nodeOf(tree, low, high) {
    let node = low;
    while (tree.high[node] < high && tree.parent[node] !== node) node = tree.parent[node];
    return tree.low[node] === low && tree.high[node] === high ? node : null;
}

/** A color for a child: its parent's, lighter and darker in turn. */
function childColor([r, g, b], index) {
    const shift = (index % 2 ? -1 : 1) * 26 * (1 + (index >> 1));
    return [r, g, b].map((value) => Math.max(0, Math.min(255, value + shift)));
}

/** A merge tree with the children of split leaves as further nodes, and its clusters at every cut. */
export class RefinedTree {
    /**
     * @param {object} base as parseTree gives it
     * @param {{version: number, leaves: number[][], clusters: any[][]}} splits as docs/protocol.md describes them
     */
    constructor(base, splits) {
        this.base = base;
        this.splits = splits;
        this.size = tableSize(base.nLeaves, splits);
        this.tree = splits.leaves.length ? this.#extended() : base;
    }

    /** Node of a leaf or of a child. */
    nodeOfLeaf(leaf) {
        return leaf < this.base.nLeaves ? leaf : this.base.parent.length + leaf - FIRST_CHILD;
    }

    #extended() {
        const { base, size } = this;
        const count = base.parent.length + size - FIRST_CHILD;
        const grown = (values, length = count) => {
            const copy = new values.constructor(length);
            copy.set(values);
            return copy;
        };
        const tree = { ...base, parent: grown(base.parent), low: grown(base.low), high: grown(base.high), rgb: grown(base.rgb, 3 * count) };
        for (const [parent, first, n] of this.splits.leaves) {
            const above = this.nodeOfLeaf(parent);
            const color = tree.rgb.subarray(3 * above, 3 * above + 3);
            for (let index = 0; index < n; index++) {
                const node = this.nodeOfLeaf(first + index);
                tree.parent[node] = above;
                tree.low[node] = first + index;
                tree.high[node] = first + index + 1;
                tree.rgb.set(childColor(color, index), 3 * node);
            }
        }
        return tree;
    }

    /** Cluster (node) of every leaf and child at a cut. */
    clustersAt(cut) {
        const { base, tree, splits, size } = this;
        const shown = clusterOfLeaves(base, clampCut(base, cut));
        const wide = ([low, high]) => high - low;
        // Splits of a cluster's parts come after the cluster's own, so that the finest holds.
        for (const [, , parts] of [...splits.clusters].sort((a, b) => wide(b) - wide(a))) {
            for (const part of parts) {
                const node = nodeOf(base, ...part);
                if (node === null) continue;
                for (let leaf = part[0]; leaf < part[1]; leaf++) {
                    const cluster = shown[leaf];
                    if (tree.high[cluster] - tree.low[cluster] > wide(part)) shown[leaf] = node;
                }
            }
        }
        if (size === base.nLeaves) return shown;
        const all = new Uint32Array(size);
        all.set(shown);
        for (const [parent, first, n, live, apart] of splits.leaves) {
            for (let child = first; child < first + n; child++) all[child] = live && apart ? this.nodeOfLeaf(child) : all[parent];
        }
        return all;
    }

    /**
     * The ranges that name exactly a cluster's leaves.
     * @param {Uint32Array} clusters as clustersAt gives them
     * @param {number} node
     * @param {number[]} [within] only leaves [low, high) of the segmentation itself
     */
    rangesOf(clusters, node, within = [this.tree.low[node], this.tree.high[node]]) {
        if (node >= this.base.parent.length) return [[this.tree.low[node], this.tree.high[node]]];
        const isWhole = this.#whole(clusters);
        const ranges = [];
        const add = (leaf) => {
            const last = ranges[ranges.length - 1];
            if (last?.[1] === leaf) last[1] = leaf + 1;
            else ranges.push([leaf, leaf + 1]);
        };
        for (let leaf = within[0]; leaf < within[1]; leaf++) if (clusters[leaf] === node && isWhole(leaf)) add(leaf);
        for (const [parent, first, n, live] of this.splits.leaves) {
            if (!live || isWhole(parent)) continue;
            const root = this.rootOf(parent);
            if (root < within[0] || root >= within[1]) continue;
            for (let child = first; child < first + n; child++) if (clusters[child] === node && isWhole(child)) add(child);
        }
        return ranges;
    }

    /** Whether a leaf and all its children are one cluster, so that its own number names it. */
    #whole(clusters) {
        const torn = new Set();
        for (const [parent, first, n, live] of [...this.splits.leaves].reverse()) {
            if (!live) continue;
            for (let child = first; child < first + n; child++) {
                if (torn.has(child) || clusters[child] !== clusters[parent]) torn.add(parent);
            }
        }
        return (leaf) => !torn.has(leaf);
    }

    /** The leaf of the segmentation itself that a child comes from. */
    rootOf(leaf) {
        let root = leaf;
        for (const [parent, first, n] of [...this.splits.leaves].reverse()) if (root >= first && root < first + n) root = parent;
        return root;
    }

    /** The nodes around a leaf up to a cluster, its own first. */
    pathOf(leaf, cluster) {
        const { tree } = this;
        const path = [this.nodeOfLeaf(leaf)];
        for (let node = path[0]; node !== cluster && tree.parent[node] !== node; path.push(node)) node = tree.parent[node];
        return path;
    }

    /**
     * The best parts of a node: the merges that came last are taken back.
     * @returns {number[][]} up to `count` ranges in order
     */
    partsOf(node, count) {
        const { base } = this;
        const parts = [node];
        while (parts.length < count) {
            // A node has a higher number than all nodes below it, and one that merged later has the higher one.
            const index = parts.indexOf(Math.max(...parts));
            if (parts[index] < base.nLeaves) break;
            parts.splice(index, 1, ...this.#children(parts[index]));
        }
        return parts.map((part) => [base.low[part], base.high[part]]).sort((a, b) => a[0] - b[0]);
    }

    #children(node) {
        const { base } = this;
        const child = (leaf) => {
            let below = leaf;
            while (base.parent[below] !== node) below = base.parent[below];
            return below;
        };
        return [child(base.low[node]), child(base.high[node] - 1)];
    }
}

/**
 * What a click of a class stands for, in a cluster where other classes were clicked too.
 * @param {RefinedTree} refined
 * @param {Uint32Array} clusters cluster of every leaf
 * @param {{leaf: number, point: number[] | null, class: number, reach?: number}} click `reach`: pixels of the scene that the
 *     hand cannot tell apart, so that a click so near to another one corrects it, whatever leaf the overview showed there
 * @param {{row: number, col: number, class: number, leaf: number}[]} others clicks that are examples still
 * @param {Uint8Array} table class of each leaf
 * @returns {{ranges: number[][], rivals: object[]}} the leaves it gives the class; `rivals` are clicks of other classes in
 *     the very same leaf, which only a split of that leaf can part
 */
export function meantBy(refined, clusters, click, others, table) {
    const cluster = clusters[click.leaf];
    const inside = others.filter(
        (other) => other.class !== click.class && clusters[other.leaf] === cluster && table[other.leaf] === other.class,
    );
    // Right beside it, the click corrects the one before.
    const corrects = ({ row, col, leaf }) => {
        if (!click.point) return false;
        const distance = Math.max(Math.abs(row - click.point[0]), Math.abs(col - click.point[1]));
        return distance <= (click.reach ?? 0) || (leaf === click.leaf && distance <= NEAR);
    };
    const apart = inside.filter((other) => !corrects(other));
    if (!apart.length) return { ranges: refined.rangesOf(clusters, cluster), rivals: [] };
    const taken = new Set(apart.flatMap((other) => refined.pathOf(other.leaf, cluster)));
    const node = refined.pathOf(click.leaf, cluster).findLast((one) => !taken.has(one));
    const rivals = apart.filter((other) => other.leaf === click.leaf);
    if (node === undefined) return { ranges: [[click.leaf, click.leaf + 1]], rivals };
    const { low, high } = refined.tree;
    const isChild = low[node] >= FIRST_CHILD;
    const ranges = isChild ? [[low[node], high[node]]] : refined.rangesOf(clusters, cluster, [low[node], high[node]]);
    return { ranges, rivals };
}

/** Sum of `values` over a cluster. */
export function sumWhere(values, clusters, node) {
    let sum = 0;
    for (let leaf = 0; leaf < values.length; leaf++) if (clusters[leaf] === node) sum += values[leaf];
    return sum;
}

/** The one value that a table holds over a cluster, or null where it holds several. Leaves that were split hold no pixels. */
export function valueWhere(table, clusters, node, splits) {
    const empty = new Set(splits.leaves.filter(([, , , live]) => live).map(([parent]) => parent));
    let found = null;
    for (let leaf = 0; leaf < table.length; leaf++) {
        if (clusters[leaf] !== node || empty.has(leaf)) continue;
        if (found !== null && table[leaf] !== found) return null;
        found = table[leaf];
    }
    return found;
}

/**
 * Numbers that no block should hold any more: of leaves that were split, of children whose pixels another split took over,
 * and of children of a split that was only tried out.
 * @param {{leaf: number, first: number, n: number} | null} trial a split of a leaf that is being tried out
 * @returns {Uint8Array} 1 for those, one byte for each of 65,536 numbers
 */
export function outdatedNumbers(splits, trial) {
    const outdated = new Uint8Array(65536);
    outdated.fill(1, FIRST_CHILD, 65535);
    const dead = splits.leaves.filter(([, , , live]) => !live);
    const rootOf = (leaf) => {
        const above = dead.find(([, first, n]) => leaf >= first && leaf < first + n);
        return above ? rootOf(above[0]) : leaf;
    };
    splits.leaves.forEach(([parent, first, n, live], index) => {
        const root = rootOf(parent);
        const isTakenOver = !live && splits.leaves.some(([other, , , holds], at) => holds && at > index && other === root);
        outdated.fill(isTakenOver ? 1 : 0, first, first + n);
    });
    for (const [parent, , , live] of splits.leaves) if (live) outdated[parent] = 1;
    if (trial) {
        outdated.fill(0, trial.first, trial.first + trial.n);
        outdated[trial.leaf] = 1;
    }
    return outdated;
}

/** The splits with those that wait for the server. */
export function splitsAfter(splits, pending, segmentation) {
    const mine = pending.filter((command) => command.type === "cluster.split" && command.segmentation === segmentation);
    if (!mine.length) return splits;
    const same = ([low, high], [a, b]) => low === a && high === b;
    const rest = splits.clusters.filter((one) => !mine.some(({ range }) => same(one, range)));
    return { ...splits, clusters: [...rest, ...mine.map(({ range, parts }) => [...range, parts])] };
}

/** Clicks after an event: `changed` as docs/protocol.md describes it. */
export function clicksAfter(clicks, changed) {
    if (!changed) return clicks;
    const read = (rows) => rows.map(([number, row, col, classNumber, leaf]) => ({ number, row, col, class: classNumber, leaf }));
    if (changed.all) return read(changed.all);
    const gone = new Set(changed.removed);
    const added = read(changed.added);
    const known = new Set(added.map(({ number }) => number));
    return [...clicks.filter(({ number }) => !gone.has(number) && !known.has(number)), ...added];
}

/** Colors that tell parts apart, whatever the clusters' own are. */
export const PART_COLORS = [
    [230, 97, 1], [27, 120, 190], [253, 216, 53], [123, 50, 148], [0, 150, 110], [214, 39, 120], [120, 200, 240], [120, 80, 40],
];

const RECEDED = 0.35; // opacity of what is not split

/**
 * Color texels with the parts of a split that is being tried out; all else recedes.
 * @param {Uint8Array} texels 65,536 RGBA texels, changed in place
 * @param {{parts: number[][][]} | null} preview ranges of each part, children named one by one
 */
export function tintParts(texels, preview, size, splits) {
    if (!preview) return texels;
    for (let alpha = 3; alpha < texels.length; alpha += 4) texels[alpha] *= RECEDED;
    preview.parts.forEach((ranges, index) => {
        const named = namedBy(ranges, size, splits);
        for (let leaf = 0; leaf < size; leaf++) if (named[leaf]) texels.set([...PART_COLORS[index % PART_COLORS.length], 255], 4 * leaf);
    });
    return texels;
}
