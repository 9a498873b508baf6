/**
 * The merge tree of a segmentation: nodes 0..n-1 are the leaves, node n + i is the i-th merge. Leaves are numbered
 * depth first, so every node is one contiguous range [low, high) of leaves.
 */

const HEADER_BYTES = 8;

/**
 * Read the tree as docs/protocol.md lays it out. Little endian, as is every machine that runs a browser with WebGL2.
 * @param {ArrayBuffer} buffer
 * @returns {{nLeaves: number, version: number, parent: Uint32Array, low: Uint32Array, high: Uint32Array, rgb: Uint8Array}}
 */
export function parseTree(buffer) {
    if (buffer.byteLength < HEADER_BYTES) {
        throw new Error(`The merge tree has ${buffer.byteLength} bytes, too few for its header.`);
    }
    const [nLeaves, version] = new Uint32Array(buffer, 0, 2);
    const nodes = 2 * nLeaves - 1;
    const expected = HEADER_BYTES + nodes * 15;
    if (nLeaves < 1 || buffer.byteLength !== expected) {
        throw new Error(
            `The merge tree of ${nLeaves} leaves should have ${expected} bytes and has ${buffer.byteLength}.`,
        );
    }
    const words = (index) => new Uint32Array(buffer, HEADER_BYTES + index * nodes * 4, nodes);
    return {
        nLeaves,
        version,
        parent: words(0),
        low: words(1),
        high: words(2),
        rgb: new Uint8Array(buffer, HEADER_BYTES + 3 * nodes * 4, nodes * 3),
    };
}

/** The cut that the tree can really make: a whole number of clusters between 1 and its number of leaves. */
export function clampCut(tree, cut) {
    return Math.max(1, Math.min(tree.nLeaves, Math.round(cut)));
}

/**
 * Cluster (tree node) of every leaf at a cut into `cut` clusters.
 * @returns {Uint32Array} one node id a leaf
 */
export function clusterOfLeaves(tree, cut) {
    const threshold = 2 * tree.nLeaves - clampCut(tree, cut);
    const clusters = new Uint32Array(tree.nLeaves);
    const root = 2 * tree.nLeaves - 2;
    if (threshold > root) return clusters.fill(root); // one cluster: the root has no parent above the cut
    for (let node = 0; node < threshold; node++) {
        if (tree.parent[node] >= threshold) clusters.fill(node, tree.low[node], tree.high[node]);
    }
    return clusters;
}

/** The nodes that are clusters at this cut, in the order of their leaves. */
export function clustersAtCut(tree, cut) {
    const clusters = clusterOfLeaves(tree, cut);
    return [...new Set(clusters)];
}

/**
 * Slider positions are spread evenly over the logarithm of the cut: from 2 to 20 is as long a way as from 20 to 200.
 * @param {number} position 0 to 1
 */
export function cutAtPosition(position, lowest, highest) {
    if (highest <= lowest) return lowest;
    return Math.round(lowest * (highest / lowest) ** Math.max(0, Math.min(1, position)));
}

/** Inverse of `cutAtPosition`. */
export function positionOfCut(cut, lowest, highest) {
    if (highest <= lowest) return 0;
    return Math.log(Math.max(lowest, Math.min(highest, cut)) / lowest) / Math.log(highest / lowest);
}

/** A sixth coarser or finer, yet always at least one cluster: what the keys [ and ] do. */
export function stepCut(cut, direction, lowest, highest) {
    const next = direction > 0 ? Math.max(cut + 1, Math.round(cut * 1.19)) : Math.min(cut - 1, Math.round(cut / 1.19));
    return Math.max(lowest, Math.min(highest, next));
}
