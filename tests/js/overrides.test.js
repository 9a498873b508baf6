import { OverrideStore } from "../../static/js/layers/OverrideStore.js";
import { extentsByClass, prefixSums } from "../../static/js/model/areas.js";
import { classesAfter, tableAfter } from "../../static/js/model/history.js";
import { besideOverrides, NO_OVERRIDES, OverrideIndex, overrideTexels, parseOverrideBlock, parseOverrideCounts, shownClasses } from "../../static/js/model/overrides.js";
import { rectangleAround, roundedRing, thinnedRing } from "../../static/js/model/shapes.js";
import { assert, describe, it } from "./shim.js";

const BLOCK = 512;

function countsBuffer(entries, { segmentation = 7, leavesVersion = 0, version = 4, area = true } = {}) {
    const n = entries.length;
    const buffer = new ArrayBuffer(16 + 15 * n);
    new Uint32Array(buffer, 0, 4).set([segmentation, leavesVersion, version, n]);
    new Float64Array(buffer, 16, n).set(entries.map(([, , pixels]) => (area ? pixels * 100 : NaN)));
    new Uint32Array(buffer, 16 + 8 * n, n).set(entries.map(([, , pixels]) => pixels));
    new Uint16Array(buffer, 16 + 12 * n, n).set(entries.map(([, leaf]) => leaf));
    new Uint8Array(buffer, 16 + 14 * n, n).set(entries.map(([value]) => value));
    return buffer;
}

describe("which blocks are drawn on", () => {
    it("follows what edits tell, and knows overviews by the blocks under them", () => {
        const index = new OverrideIndex({ version: 3, blocks: [[0, 1, 2, 1], [3, 2, 3, 1]] });
        assert.same(Object.values(index.stateOf(0, 0, 1)), [2, true]);
        assert.same(Object.values(index.stateOf(0, 0, 0)), [0, false]);
        assert.same(Object.values(index.stateOf(1, 0, 0)), [2, true]);
        assert.same(Object.values(index.stateOf(2, 0, 0)), [3, true]);
        const after = index.after({ version: 5, blocks: [[3, 2, 5, 0]] });
        assert.same(Object.values(after.stateOf(0, 3, 2)), [5, false]);
        // What is gone there makes the overview another one, too.
        assert.same(Object.values(after.stateOf(2, 0, 0)), [5, true]);
        assert.equal(after.version, 5);
        assert.same(Object.values(index.stateOf(0, 3, 2)), [3, true]);
    });

    it("is empty where all was taken back", () => {
        assert.equal(new OverrideIndex().isEmpty, true);
        assert.equal(new OverrideIndex(NO_OVERRIDES).stateOf(0, 0, 0).drawn, false);
        const index = new OverrideIndex({ version: 1, blocks: [[0, 0, 1, 1]] });
        assert.equal(index.isEmpty, false);
        assert.equal(index.after({ version: 2, blocks: [[0, 0, 2, 0]] }).isEmpty, true);
    });
});

describe("what the server sends of it", () => {
    it("is read as the protocol lays it out", () => {
        const block = new Uint8Array(8 + BLOCK * BLOCK);
        block.set([9, 1, 0, 0], 0);
        block[8 + 5] = 250;
        const { version, values } = parseOverrideBlock(block.buffer);
        assert.equal(version, 265);
        assert.equal(values[5], 250);
        assert.equal(values.length, BLOCK * BLOCK);
        const counts = parseOverrideCounts(countsBuffer([[1, 3, 20], [2, 3, 30]]));
        assert.same([counts.segmentation, counts.leavesVersion, counts.version], [7, 0, 4]);
        assert.same(counts.values, [1, 2]);
        assert.same(counts.leaves, [3, 3]);
        assert.same(counts.pixels, [20, 30]);
        assert.same(counts.areaM2, [2000, 3000]);
        assert.equal(parseOverrideCounts(countsBuffer([[1, 3, 20]], { area: false })).areaM2, null);
    });

    it("is refused where its size is wrong", () => {
        assert.throws(() => parseOverrideBlock(new ArrayBuffer(9)), /should have 262152 bytes and has 9/);
        assert.throws(() => parseOverrideCounts(new ArrayBuffer(9)), /too short/);
        assert.throws(() => parseOverrideCounts(countsBuffer([[1, 3, 20]]).slice(0, 20)), /Counts of 1 entries/);
    });
});

describe("what a drawn class shows as", () => {
    const label = (number, more = {}) => ({ number, name: `c${number}`, color: "#102030", position: number, deleted: false, merged_into: null, ...more });

    it("follows merges to their end, and hides what is deleted", () => {
        const classes = [label(1, { deleted: true, merged_into: 2 }), label(2, { deleted: true, merged_into: 3 }), label(3), label(4, { deleted: true })];
        assert.same(shownClasses(classes).subarray(0, 6), [0, 3, 3, 3, 0, 0]);
        assert.same(shownClasses([label(1, { deleted: true, merged_into: 9 })]).subarray(0, 3), [0, 0, 0]);
    });

    it("has the color of the class and its number", () => {
        const texels = overrideTexels(Uint8Array.from([0, 2, 2, 5]), new Map([[2, [10, 20, 30]]]));
        assert.same(texels.subarray(0, 16), [0, 0, 0, 0, 10, 20, 30, 2, 10, 20, 30, 2, 0, 0, 0, 0]);
    });

    it("is shown at once where a merge waits for the server", () => {
        const pending = [{ type: "class.merge", sources: [1], class: 3, client_id: "a" }];
        const classes = classesAfter([label(1), label(2), label(3)], pending);
        assert.same(shownClasses(classes).subarray(0, 4), [0, 3, 2, 3]);
        assert.same(tableAfter(Uint8Array.from([1, 2, 3, 0, 1]), pending, 7), [3, 2, 3, 0, 3]);
    });
});

describe("areas beside what was drawn", () => {
    const statistics = (values, inArea) => ({ values, pixels: Float64Array.from([50, 30, 20]), valueSums: prefixSums(values), inArea });
    const palette = new Map([[1, [0, 0, 0]], [2, [0, 0, 0]]]);
    const table = Uint8Array.from([1, 0, 2]);

    it("move from the leaves to the classes", () => {
        const own = statistics(Float64Array.from([5000, 3000, 2000]), true);
        const counts = parseOverrideCounts(countsBuffer([[1, 1, 10], [2, 0, 50], [2, 1, 20]]));
        const drawn = besideOverrides(own, counts, Uint8Array.from([0, 1, 2]));
        assert.same(drawn.left, [0, 0, 2000]);
        assert.same(drawn.byClass.subarray(0, 4), [0, 1000, 7000, 0]);
        const extents = extentsByClass(own, table, table, palette, drawn);
        assert.same([0, 1, 2].map((number) => extents.get(number).value), [0, 1000, 9000]);
        assert.same([...extents.values()].map(({ predicted }) => predicted), [0, 0, 0]);
        assert.equal(extents.get(2).share, 0.9);
    });

    it("stay where the class does not show", () => {
        const own = statistics(Float64Array.from([50, 30, 20]), false);
        const counts = parseOverrideCounts(countsBuffer([[1, 1, 10], [2, 0, 50]]));
        const drawn = besideOverrides(own, counts, Uint8Array.from([0, 2, 0]));
        assert.same(drawn.left, [50, 20, 20]);
        assert.same(drawn.byClass.subarray(0, 4), [0, 0, 10, 0]);
    });

    it("leave nothing of a leaf without a pixel, whatever rounding says", () => {
        const own = statistics(Float64Array.from([0.1 + 0.2, 3, 2]), true);
        const counts = { ...parseOverrideCounts(countsBuffer([[1, 0, 50]])), areaM2: Float64Array.from([0.3]) };
        assert.equal(besideOverrides(own, counts, Uint8Array.from([0, 1])).left[0], 0);
    });

    it("are the leaves' own where nothing is drawn", () => {
        const own = statistics(Float64Array.from([50, 30, 20]), false);
        assert.equal(besideOverrides(own, null, new Uint8Array(256)).left, own.values);
    });
});

describe("blocks that are kept", () => {
    const filled = (value) => new Uint8Array(BLOCK * BLOCK).fill(value);

    it("see across the border into their neighbors, and no more once those are gone", () => {
        const store = new OverrideStore();
        store.put(0, 0, 0, 1, filled(3));
        store.put(0, 0, 1, 2, filled(5));
        const left = store.get(0, 0, 0).values;
        assert.equal(left[514 * 1 + 513], 5);
        assert.equal(left[514 * 1 + 512], 3);
        assert.equal(store.get(0, 0, 1).values[514 * 1], 3);
        assert.equal(store.valueAt(0, 0, 1, 0, 0), 5);
        assert.equal(store.versionOf(0, 0, 1), 2);
        assert.equal(store.drop(0, 0, 1).length, 1);
        assert.equal(left[514 * 1 + 513], 0);
        assert.same(store.drop(0, 0, 1), []);
    });

    it("give their edge to neighbors in which nothing is drawn, only where there is something on it", () => {
        const store = new OverrideStore();
        const values = filled(0);
        values[BLOCK - 1] = 9; // top right corner
        store.put(0, 1, 1, 1, values);
        assert.equal(store.get(0, 1, 2).values[514 * 1], 9);
        assert.equal(store.get(0, 0, 1).values[514 * 513 + 512], 9);
        assert.equal(store.get(0, 0, 2).values[514 * 513], 9);
        assert.equal(store.get(0, 2, 1), null);
        assert.equal(store.versionOf(0, 1, 2), 0);
    });

    it("go when they were used longest ago", () => {
        const store = new OverrideStore({ most: 2 });
        for (const col of [0, 2, 4]) store.put(0, 0, col, 1, filled(0));
        store.get(0, 0, 0);
        assert.same(store.evict(new Set(["0/0/4"])).map(({ key }) => key), ["0/0/2"]);
        assert.same(store.evict(new Set()), []);
    });
});

describe("shapes", () => {
    it("have corners between those of a rectangle", () => {
        const ring = rectangleAround({ x: 0, y: 0 }, { x: 4, y: 2 }, 2);
        assert.same(ring.map(({ x, y }) => [x, y]).flat(), [0, 0, 2, 0, 4, 0, 4, 1, 4, 2, 2, 2, 0, 2, 0, 1]);
    });

    it("are thinned and rounded before they are sent", () => {
        const ring = Array.from({ length: 10 }, (_, index) => ({ row: index + 0.123456, col: 1 / 3 }));
        assert.equal(thinnedRing(ring, 20), ring);
        assert.same(thinnedRing(ring, 5).map(({ row }) => Math.floor(row)), [0, 2, 4, 6, 8]);
        assert.same(roundedRing(ring.slice(0, 1))[0], [0.12, 0.33]);
    });
});
