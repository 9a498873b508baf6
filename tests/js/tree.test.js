import { clampCut, clusterOfLeaves, clustersAtCut, cutAtPosition, parseTree, positionOfCut, stepCut } from "../../static/js/model/tree.js";
import { assert, describe, it } from "./shim.js";

/**
 * Leaves 0-3; merges in order: node 4 = {2, 3}, node 5 = {0, 1}, node 6 = all.
 */
function smallTree() {
    return {
        nLeaves: 4,
        version: 0,
        parent: Uint32Array.from([5, 5, 4, 4, 6, 6, 6]),
        low: Uint32Array.from([0, 1, 2, 3, 2, 0, 0]),
        high: Uint32Array.from([1, 2, 3, 4, 4, 2, 4]),
        rgb: Uint8Array.from({ length: 21 }, (_, i) => i * 10),
    };
}

function treeBuffer(tree) {
    const nodes = 2 * tree.nLeaves - 1;
    const buffer = new ArrayBuffer(8 + nodes * 15);
    new Uint32Array(buffer, 0, 2).set([tree.nLeaves, tree.version]);
    [tree.parent, tree.low, tree.high].forEach((values, i) => new Uint32Array(buffer, 8 + i * nodes * 4, nodes).set(values));
    new Uint8Array(buffer, 8 + nodes * 12).set(tree.rgb);
    return buffer;
}

/** A tree of n leaves whose merges join random neighbors, as the protocol numbers them. */
function randomTree(n, random) {
    const nodes = 2 * n - 1;
    const tree = { nLeaves: n, version: 0, parent: new Uint32Array(nodes), low: new Uint32Array(nodes), high: new Uint32Array(nodes), rgb: new Uint8Array(nodes * 3) };
    const current = [];
    for (let leaf = 0; leaf < n; leaf++) {
        tree.low[leaf] = leaf;
        tree.high[leaf] = leaf + 1;
        current.push(leaf);
    }
    for (let node = n; node < nodes; node++) {
        const at = Math.floor(random() * (current.length - 1));
        const [left, right] = current.splice(at, 2, node);
        tree.parent[left] = tree.parent[right] = node;
        tree.low[node] = tree.low[left];
        tree.high[node] = tree.high[right];
    }
    tree.parent[nodes - 1] = nodes - 1;
    return tree;
}

/** A small seeded generator, so that a failure can be seen again. */
function generator(seed) {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

describe("tree", () => {
    it("is read back from its bytes", () => {
        const tree = smallTree();
        const read = parseTree(treeBuffer(tree));
        for (const name of ["nLeaves", "version", "parent", "low", "high", "rgb"]) assert.same(read[name], tree[name]);
    });

    it("of the wrong length is refused with both lengths", () => {
        assert.throws(() => parseTree(treeBuffer(smallTree()).slice(0, -1)), /should have 113 bytes and has 112/);
        assert.throws(() => parseTree(new ArrayBuffer(4)), /too few for its header/);
    });

    it("cut by hand gives the clusters of each size", () => {
        const tree = smallTree();
        assert.same(clusterOfLeaves(tree, 1), [6, 6, 6, 6]);
        assert.same(clusterOfLeaves(tree, 2), [5, 5, 4, 4]);
        assert.same(clusterOfLeaves(tree, 3), [0, 1, 4, 4]);
        assert.same(clusterOfLeaves(tree, 4), [0, 1, 2, 3]);
    });

    it("of one leaf is one cluster", () => {
        const tree = { nLeaves: 1, parent: Uint32Array.of(0), low: Uint32Array.of(0), high: Uint32Array.of(1) };
        assert.same(clusterOfLeaves(tree, 1), [0]);
        assert.equal(clampCut(tree, 40), 1);
    });

    it("cut into K has K clusters that are the ranges of their nodes and nest in those of K - 1", () => {
        const random = generator(7);
        for (const n of [2, 3, 17, 60]) {
            const tree = randomTree(n, random);
            let coarser = clusterOfLeaves(tree, 1);
            for (let cut = 1; cut <= n; cut++) {
                const clusters = clusterOfLeaves(tree, cut);
                assert.equal(clustersAtCut(tree, cut).length, cut);
                clusters.forEach((node, leaf) => {
                    assert(tree.low[node] <= leaf && leaf < tree.high[node], `leaf ${leaf} is outside node ${node}`);
                    const above = coarser[leaf];
                    assert(tree.low[above] <= tree.low[node] && tree.high[node] <= tree.high[above], "a finer cluster crosses a coarser one");
                });
                coarser = clusters;
            }
        }
    });
});

describe("granularity", () => {
    it("runs from the lowest to the highest cut", () => {
        assert.equal(cutAtPosition(0, 2, 4096), 2);
        assert.equal(cutAtPosition(1, 2, 4096), 4096);
        assert.equal(cutAtPosition(0.5, 2, 4096), 91); // the geometric mean, 90.5
    });

    it("comes back to the same cut from its own position", () => {
        for (let cut = 2; cut <= 4096; cut += 7) assert.equal(cutAtPosition(positionOfCut(cut, 2, 4096), 2, 4096), cut);
    });

    it("stands still where there is nothing to choose", () => {
        assert.equal(cutAtPosition(0.7, 2, 2), 2);
        assert.equal(positionOfCut(2, 2, 2), 0);
    });

    it("steps by a sixth, by one at least, and stops at the ends", () => {
        assert.equal(stepCut(100, 1, 2, 4096), 119);
        assert.equal(stepCut(3, 1, 2, 4096), 4);
        assert.equal(stepCut(2, -1, 2, 4096), 2);
        assert.equal(stepCut(4090, 1, 2, 4096), 4096);
    });
});
