import { formatArea, formatPixels, formatShare, parseStatistics, prefixSums, rangeTotal, totalsByClass } from "../../static/js/model/areas.js";
import { colorTexels, outlineKeys, paletteOf, parseColor } from "../../static/js/model/lookup.js";
import { mergeRanges, valueOver, withChanges } from "../../static/js/model/ranges.js";
import { clusterOfLeaves } from "../../static/js/model/tree.js";
import { assert, describe, it } from "./shim.js";

const tree = {
    nLeaves: 4,
    parent: Uint32Array.from([5, 5, 4, 4, 6, 6, 6]),
    low: Uint32Array.from([0, 1, 2, 3, 2, 0, 0]),
    high: Uint32Array.from([1, 2, 3, 4, 4, 2, 4]),
    rgb: Uint8Array.from({ length: 21 }, (_, i) => i * 10),
};
const palette = new Map([[1, [255, 0, 0]], [2, [0, 0, 255]]]);
const texel = (texels, leaf) => Array.from(texels.subarray(leaf * 4, leaf * 4 + 4));

describe("lookup texture", () => {
    const clusters = clusterOfLeaves(tree, 2); // nodes 5, 5, 4, 4

    it("shows the class where there is one, else the cluster's color", () => {
        const texels = colorTexels(tree, clusters, Uint8Array.of(1, 0, 0, 2), palette, "clusters");
        assert.same(texel(texels, 0), [255, 0, 0, 255]);
        assert.same(texel(texels, 1), [150, 160, 170, 255]);
        assert.same(texel(texels, 2), [120, 130, 140, 255]);
        assert.same(texel(texels, 3), [0, 0, 255, 255]);
    });

    it("shows classes alone in the classes mode", () => {
        const texels = colorTexels(tree, clusters, Uint8Array.of(1, 0, 0, 2), palette, "classes");
        assert.same(texel(texels, 1), [0, 0, 0, 0]);
        assert.same(texel(texels, 3), [0, 0, 255, 255]);
    });

    it("treats a deleted class as none", () => {
        const texels = colorTexels(tree, clusters, Uint8Array.of(9, 0, 0, 0), palette, "classes");
        assert.same(texel(texels, 0), [0, 0, 0, 0]);
    });

    it("leaves nodata transparent", () => {
        const texels = colorTexels(tree, clusters, null, palette, "clusters");
        assert.equal(texels.length, 65536 * 4);
        assert.same(texel(texels, 65535), [0, 0, 0, 0]);
    });

    it("gives leaves of one class one outline key, and others their cluster's", () => {
        const keys = outlineKeys(clusters, Uint8Array.of(1, 0, 0, 1), palette);
        assert.equal(keys[0], keys[3]);
        assert.equal(keys[1], 5);
        assert.equal(keys[2], 4);
        assert.equal(keys[65535], 0xffffffff);
    });

    it("reads colors, and names one it cannot read", () => {
        assert.same(parseColor("#0A14ff"), [10, 20, 255]);
        assert.throws(() => parseColor("red"), /"red" is not a color/);
        assert.same(paletteOf([{ number: 3, color: "#010203", deleted: false }, { number: 4, color: "#010203", deleted: true }]), [[3, [1, 2, 3]]]);
    });
});

describe("ranges", () => {
    it("that touch or overlap become one", () => {
        assert.same(mergeRanges([[7, 9], [1, 3], [3, 5], [8, 12]]), [[1, 5], [7, 12]]);
        assert.same(mergeRanges([]), []);
        assert.same(mergeRanges([[0, 10], [2, 3]]), [[0, 10]]);
    });

    it("write a copy of the table", () => {
        const table = Uint8Array.of(1, 1, 1, 1);
        assert.same(withChanges(table, [[1, 3, 2], [2, 4, 0]]), [1, 2, 0, 0]);
        assert.same(table, [1, 1, 1, 1]);
    });

    it("know their one value, or that there are several", () => {
        assert.equal(valueOver(Uint8Array.of(0, 2, 2, 1), 1, 3), 2);
        assert.equal(valueOver(Uint8Array.of(0, 2, 2, 1), 1, 4), null);
    });
});

describe("areas", () => {
    it("of a range are the sum of its leaves", () => {
        const sums = prefixSums(Float64Array.of(1, 2, 4, 8));
        assert.same(sums, [0, 1, 3, 7, 15]);
        assert.equal(rangeTotal(sums, 1, 3), 6);
        assert.equal(rangeTotal(sums, 2, 2), 0);
    });

    it("of classes and of what is unlabelled add up to everything", () => {
        const totals = totalsByClass(Float64Array.of(1, 2, 4, 8), Uint8Array.of(1, 0, 9, 2), palette);
        assert.same(totals, [[0, 6], [1, 1], [2, 8]]);
    });

    it("are read from their bytes, NaN meaning that there are none", () => {
        const buffer = new ArrayBuffer(16 + 32);
        new Uint32Array(buffer, 0, 2).set([2, 1]);
        new Float64Array(buffer, 16).set([5, 6, 500, 600]);
        assert.same(parseStatistics(buffer), { complete: true, pixels: [5, 6], areaM2: [500, 600] });
        new Float64Array(buffer, 16).set([5, 6, NaN, NaN]);
        assert.equal(parseStatistics(buffer).areaM2, null);
        assert.throws(() => parseStatistics(buffer.slice(8)), /cannot have 40 bytes/);
    });

    it("are told in a unit that fits", () => {
        assert.equal(formatArea(0), "0 ha");
        assert.equal(formatArea(42), "42 m²");
        assert.equal(formatArea(123_456), "12.3 ha");
        assert.equal(formatArea(45_678_900), "4,568 ha");
        assert.equal(formatArea(2.5e9), "2,500 km²");
        assert.equal(formatPixels(12345), "12,345 px");
    });

    it("have a share that never pretends to be nothing", () => {
        assert.equal(formatShare(0), "0.0%");
        assert.equal(formatShare(0.00001), "<0.1%");
        assert.equal(formatShare(0.1234), "12.3%");
        assert.equal(formatShare(NaN), "–");
    });
});
