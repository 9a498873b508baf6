import { Clusters } from "../../static/js/model/clusters.js";
import { clicksAfter, outdatedNumbers, extendTable, FIRST_CHILD, nodeOf, NO_SPLITS, painted, RefinedTree, splitsAfter, tintParts } from "../../static/js/model/splits.js";
import { assert, describe, it } from "./shim.js";

/** Leaves 0-7; merges: 8 = {0,1}, 9 = {2,3}, 10 = {4,5}, 11 = {6,7}, 12 = {0..3}, 13 = {4..7}, 14 = all. */
function tree() {
    return {
        nLeaves: 8,
        version: 0,
        parent: Uint32Array.from([8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 14]),
        low: Uint32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 0, 2, 4, 6, 0, 4, 0]),
        high: Uint32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 6, 8, 4, 8, 8]),
        rgb: Uint8Array.from({ length: 45 }, () => 100),
    };
}

const C = FIRST_CHILD;
const clusterSplit = (...clusters) => ({ version: 0, leaves: [], clusters });
const leafSplit = (...leaves) => ({ version: 5, leaves, clusters: [] });

describe("splits of clusters", () => {
    it("show their parts at every granularity, and leave the rest to the cluster around", () => {
        const splits = clusterSplit([4, 8, [[4, 6], [6, 8]]]);
        assert.same(new Clusters(tree(), splits, 1).of, [14, 14, 14, 14, 10, 10, 11, 11]);
        assert.same(new Clusters(tree(), splits, 2).of, [12, 12, 12, 12, 10, 10, 11, 11]);
        const fine = new Clusters(tree(), splits, 8);
        assert.same(fine.of, [0, 1, 2, 3, 4, 5, 6, 7]);
        const coarse = new Clusters(tree(), splits, 1);
        assert.same(coarse.at(0), { node: 14, low: 0, high: 8, ranges: [[0, 4]] });
        assert.same(coarse.at(5), { node: 10, low: 4, high: 6, ranges: [[4, 6]] });
        assert.equal(coarse.sumOf([1, 2, 3, 4, 5, 6, 7, 8], 14), 10);
        assert.same(coarse.lightsOf(10).subarray(0, 9), [0, 0, 0, 0, 255, 255, 0, 0, 0]);
        assert.equal(coarse.lightsOf(10), coarse.lightsOf(10));
    });

    it("may be split again, whatever the order in which they are listed", () => {
        const splits = clusterSplit([4, 6, [[4, 5], [5, 6]]], [0, 8, [[0, 4], [4, 8]]], [4, 8, [[4, 6], [6, 8]]]);
        assert.same(new Clusters(tree(), splits, 1).of, [12, 12, 12, 12, 4, 5, 11, 11]);
    });

    it("a hole makes two ranges", () => {
        const splits = clusterSplit([2, 4, [[2, 3], [3, 4]]]);
        assert.same(new Clusters(tree(), splits, 1).at(7).ranges, [[0, 2], [4, 8]]);
    });

    it("take back the merges that came last", () => {
        const refined = new RefinedTree(tree(), NO_SPLITS);
        assert.same(refined.partsOf(14, 2), [[0, 4], [4, 8]]);
        assert.same(refined.partsOf(14, 3), [[0, 4], [4, 6], [6, 8]]);
        assert.same(refined.partsOf(14, 5), [[0, 2], [2, 4], [4, 6], [6, 7], [7, 8]]);
        assert.equal(refined.partsOf(8, 8).length, 2, "no more parts than leaves");
        for (const count of [2, 3, 4, 5, 6, 7, 8]) {
            const parts = refined.partsOf(14, count);
            assert.equal(parts.length, count);
            assert.same([parts[0][0], parts[count - 1][1]], [0, 8]);
            parts.slice(1).forEach(([low], index) => assert.equal(low, parts[index][1]));
            parts.forEach((part) => assert(nodeOf(tree(), ...part) !== null, "a part is a node"));
        }
    });

    it("show while they wait for the server, in place of earlier ones of the same cluster", () => {
        const splits = clusterSplit([4, 8, [[4, 6], [6, 8]]]);
        const command = { type: "cluster.split", segmentation: 1, range: [4, 8], parts: [[4, 5], [5, 6], [6, 8]] };
        assert.same(splitsAfter(splits, [command], 1).clusters, [[4, 8, [[4, 5], [5, 6], [6, 8]]]]);
        assert.equal(splitsAfter(splits, [command], 2), splits);
    });

    it("tint their parts", () => {
        const texels = tintParts(new Uint8Array(65536 * 4), { parts: [[[0, 2]], [[2, 4]]] }, 8, NO_SPLITS);
        assert.equal(texels[3], 255);
        assert.equal(texels[4 * 4 + 3], 0);
        assert(texels[0] !== texels[8], "parts differ in color");
    });
});

describe("splits of leaves", () => {
    const twice = leafSplit([3, C, 2, 1, 0], [C + 1, C + 2, 2, 1, 0]);

    it("give children the class of their parent, and whoever names the parent names them", () => {
        const table = extendTable(Uint8Array.of(0, 0, 0, 7, 0, 0, 0, 0), twice);
        assert.equal(table.length, C + 4);
        assert.same(table.subarray(C), [7, 7, 7, 7]);
        const own = painted(table, [[C + 1, C + 2, 2]], twice);
        assert.same(own.subarray(C), [7, 2, 2, 2]);
        assert.equal(own[3], 7);
        assert.same(painted(own, [[0, 8, 1]], twice).subarray(C), [1, 1, 1, 1]);
    });

    it("once undone, children act as their parent", () => {
        const undone = leafSplit([3, C, 2, 0, 0], [C + 1, C + 2, 2, 0, 0]);
        const table = extendTable(new Uint8Array(8), undone);
        assert.same(painted(table, [[C, C + 1, 2]], undone).subarray(C), [0, 0, 0, 0]);
        assert.same(painted(table, [[3, 4, 2]], undone).subarray(C), [2, 2, 2, 2]);
        const clusters = new Clusters(tree(), leafSplit([3, C, 2, 0, 1]), 8);
        assert.equal(clusters.of[C], 3);
    });

    it("belong to the cluster of their parent, or stand apart", () => {
        const inside = new Clusters(tree(), leafSplit([3, C, 2, 1, 0]), 2);
        assert.same(inside.at(C + 1), { node: 12, low: 0, high: 4, ranges: [[0, 4]] });
        const apart = new Clusters(tree(), leafSplit([3, C, 2, 1, 1]), 2);
        assert.same(apart.at(C + 1).ranges, [[C + 1, C + 2]]);
        assert.same(apart.at(0).ranges, [[0, 3]]);
        assert.same(apart.tree.rgb.length, 3 * (15 + 2));
        const values = new Float64Array(C + 2).fill(0);
        values.set([1, 1, 1, 0], 0);
        values.set([5, 6], C);
        assert.equal(apart.sumOf(values, 12), 3);
        assert.equal(inside.sumOf(values, 12), 14);
        assert.equal(inside.sumOver(values, [[3, 4]]), 11);
    });

    it("a child that stands apart leaves its sisters to the cluster", () => {
        const splits = leafSplit([3, C, 2, 1, 0], [C + 1, C + 2, 2, 1, 1]);
        const clusters = new Clusters(tree(), splits, 2);
        assert.same(clusters.at(C).ranges, [[0, 3], [C, C + 1]]);
        assert.same(clusters.at(C + 3).ranges, [[C + 3, C + 4]]);
    });
});

describe("numbers out of use", () => {
    const used = (splits, trial = null) => [...[3, C, C + 1, C + 2, C + 3, C + 4].map((id) => outdatedNumbers(splits, trial)[id])];

    it("are those of leaves that were split and of children that nobody knows", () => {
        assert.same(used(NO_SPLITS), [0, 1, 1, 1, 1, 1]);
        assert.same(used(leafSplit([3, C, 2, 1, 0])), [1, 0, 0, 1, 1, 1]);
        assert.equal(outdatedNumbers(NO_SPLITS, null)[65535], 0, "no data is no leaf");
    });

    it("are not those of an undone split, until another one takes its pixels", () => {
        assert.same(used(leafSplit([3, C, 2, 0, 0])), [0, 0, 0, 1, 1, 1]);
        assert.same(used(leafSplit([3, C, 2, 0, 0], [3, C + 2, 2, 1, 0])), [1, 1, 1, 0, 0, 1]);
        assert.same(used(leafSplit([3, C, 2, 0, 0], [C, C + 2, 2, 0, 0], [3, C + 4, 1, 1, 0])), [1, 1, 1, 1, 1, 0]);
    });

    it("follow a split that is only tried out", () => {
        assert.same(used(NO_SPLITS, { leaf: 3, first: C, n: 2 }), [1, 0, 0, 1, 1, 1]);
    });
});

describe("a click where others clicked", () => {
    const other = (leaf, classNumber, row = 50, col = 50) => ({ number: 1, row, col, class: classNumber, leaf });
    const meant = (leaf, others, table, splits = NO_SPLITS, cut = 1, point = [0, 0]) =>
        new Clusters(tree(), splits, cut).meantBy({ leaf, point, class: 2 }, others, table);

    it("stands for the whole cluster without them", () => {
        assert.same(meant(5, [], new Uint8Array(8)), { ranges: [[0, 8]], rivals: [] });
        const painted1 = new Uint8Array(8).fill(1);
        assert.same(meant(5, [other(5, 2)], painted1).ranges, [[0, 8]], "the same class");
        assert.same(meant(5, [other(0, 1)], painted1, NO_SPLITS, 2).ranges, [[4, 8]], "in another cluster");
        assert.same(meant(5, [other(0, 1)], new Uint8Array(8)).ranges, [[0, 8]], "a click that holds no more");
        assert.same(meant(5, [other(65535, 1)], painted1).ranges, [[0, 8]], "a click without leaf");
    });

    it("stands for the largest part of the tree without them", () => {
        const table = new Uint8Array(8).fill(1);
        assert.same(meant(5, [other(0, 1)], table).ranges, [[4, 8]]);
        assert.same(meant(5, [other(7, 1)], table).ranges, [[4, 6]]);
        assert.same(meant(5, [other(4, 1), other(0, 1)], table).ranges, [[5, 6]]);
    });

    it("passes over parts that stand apart", () => {
        const table = new Uint8Array(8).fill(1);
        assert.same(meant(5, [other(0, 1)], table, clusterSplit([6, 8, [[6, 7], [7, 8]]])).ranges, [[4, 6]]);
    });

    it("in the same leaf asks for a split of it, unless it lies right beside", () => {
        const table = new Uint8Array(8).fill(1);
        const found = meant(5, [other(5, 1)], table);
        assert.same(found.ranges, [[5, 6]]);
        assert.equal(found.rivals.length, 1);
        assert.same(meant(5, [other(5, 1, 2, 2)], table), { ranges: [[0, 8]], rivals: [] });
        assert.same(meant(5, [other(5, 1, 2, 2), other(0, 1)], table), { ranges: [[4, 8]], rivals: [] });
    });

    it("corrects what was clicked within reach of the hand, whatever leaf is there", () => {
        const table = new Uint8Array(8).fill(1);
        const meant = (reach) =>
            new Clusters(tree(), NO_SPLITS, 1).meantBy({ leaf: 5, point: [0, 0], class: 2, reach }, [other(4, 1, 3, 5)], table);
        assert.same(meant(5), { ranges: [[0, 8]], rivals: [] });
        assert.same(meant(4.9), { ranges: [[5, 6]], rivals: [] });
        assert.same(meant(undefined), { ranges: [[5, 6]], rivals: [] });
    });

    it("tells children apart", () => {
        const splits = leafSplit([3, C, 2, 1, 0]);
        const table = extendTable(new Uint8Array(8).fill(1), splits);
        assert.same(meant(C + 1, [other(C, 1)], table, splits), { ranges: [[C + 1, C + 2]], rivals: [] });
        assert.same(meant(C + 1, [other(2, 1)], table, splits), { ranges: [[3, 4]], rivals: [] });
    });
});

describe("clicks", () => {
    it("follow the events", () => {
        const first = clicksAfter([], { all: [[4, 1, 2, 3, 9], [5, 1, 2, 3, 8]] });
        assert.same(first[0], { number: 4, row: 1, col: 2, class: 3, leaf: 9 });
        const next = clicksAfter(first, { added: [[6, 0, 0, 1, 2]], removed: [4] });
        assert.same(next.map(({ number }) => number), [5, 6]);
        assert.same(clicksAfter(next, { added: [[6, 0, 0, 1, 3]], removed: [] }).map(({ leaf }) => leaf), [8, 3]);
        assert.equal(clicksAfter(next, undefined), next);
    });
});
