import { Sheets } from "../../static/js/layers/Sheets.js";
import { BLOCK } from "../../static/js/model/blocks.js";
import { assert, describe, it } from "./shim.js";

const tables = { mode: "clusters", colors: new Uint8Array(4), keys: null, certainty: new Uint8Array(2) };
const ids = new Uint16Array(BLOCK * BLOCK);

function frame(row, col, segmentation) {
    const shape = { height: BLOCK, width: BLOCK, usedHeight: BLOCK, usedWidth: BLOCK, rowOffset: 0, colOffset: 0 };
    return { level: 0, row, col, segmentation, version: 0, isPatch: false, mesh: new Float64Array(8), n: 2, ...shape };
}

const put = (sheets, segmentation, ...places) => {
    for (const [row, col] of places) sheets.of(segmentation).cache.add(frame(row, col, segmentation), ids);
};
const wanted = (...blocks) => ({ level: 0, blocks });

/** Segmentation 1 is on screen with two blocks. */
function started(budget = 2 ** 30) {
    const sheets = new Sheets(budget);
    sheets.adopt(1);
    sheets.of(1).tables = tables;
    put(sheets, 1, [0, 0], [0, 1]);
    return sheets;
}

describe("sheets", () => {
    it("begin with the first segmentation at once: there is nothing to keep", () => {
        const sheets = new Sheets(2 ** 30);
        assert.same(sheets.adopt(1), []);
        assert.equal(sheets.shown.segmentation, 1);
        assert.equal(sheets.next, null);
        assert.same(sheets.adopt(2), []);
        assert.equal(sheets.shown.segmentation, 2);
    });

    it("keep the old one until the new one has its colors and every block of the view", () => {
        const sheets = started();
        assert.same(sheets.adopt(2), []);
        assert.equal(sheets.shown.segmentation, 1);
        assert.equal(sheets.newest.segmentation, 2);
        const view = wanted([0, 0], [0, 1]);
        put(sheets, 2, [0, 0]);
        sheets.of(2).tables = tables;
        assert.equal(sheets.swap(view), null);
        put(sheets, 2, [0, 1]);
        sheets.of(2).tables = null;
        assert.equal(sheets.swap(view), null);
        sheets.of(2).tables = tables;
        assert.equal(sheets.swap(view).length, 2);
        assert.equal(sheets.shown.segmentation, 2);
        assert.equal(sheets.of(1), null);
        assert.equal(sheets.swap(view), null);
    });

    it("go back to the old one, which never left, when the adoption is undone meanwhile", () => {
        const sheets = started();
        sheets.adopt(2);
        put(sheets, 2, [0, 0]);
        assert.equal(sheets.adopt(1).length, 1);
        assert.equal(sheets.newest.segmentation, 1);
        assert.equal(sheets.shown.cache.size, 2);
        assert.same(sheets.adopt(1), []);
    });

    it("take a third segmentation in place of the second", () => {
        const sheets = started();
        sheets.adopt(2);
        put(sheets, 2, [0, 0]);
        assert.equal(sheets.adopt(3).length, 1);
        assert.equal(sheets.shown.segmentation, 1);
        assert.equal(sheets.newest.segmentation, 3);
    });

    it("show nothing where no segmentation is adopted", () => {
        const sheets = started();
        assert.equal(sheets.adopt(null).length, 2);
        assert.equal(sheets.shown.cache.size, 0);
    });

    it("share one budget, the view's blocks kept", () => {
        const bytes = started().shown.cache.bytes / 2;
        const sheets = started(3 * bytes);
        put(sheets, 1, [0, 2]);
        sheets.adopt(2);
        put(sheets, 2, [0, 0], [0, 1]);
        const dropped = sheets.evict(new Set(["0/0/0"]));
        assert.same(dropped.map(({ key }) => key), ["0/0/1", "0/0/2"]);
        assert.same([...sheets.shown.cache.values()].map(({ key }) => key), ["0/0/0"]);
        assert.equal(sheets.next.cache.size, 2);
    });
});

describe("a block in memory", () => {
    it("does not keep the frame it came in", () => {
        const sheets = started();
        const whole = new ArrayBuffer(100_000);
        const mesh = new Float64Array(whole, 40, 8).fill(3);
        sheets.of(1).cache.add({ ...frame(0, 2, 1), mesh }, ids);
        const { mesh: kept } = sheets.of(1).cache.get(0, 0, 2);
        assert.same([...kept], [...mesh]);
        assert.equal(kept.buffer.byteLength, 64);
    });
});
