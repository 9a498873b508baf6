import { idAt, SIDE } from "../../static/js/gl/apron.js";
import { meshTriangles, meshVertices } from "../../static/js/gl/mesh.js";
import { BlockCache } from "../../static/js/layers/BlockCache.js";
import { BLOCK, blocksAcross, blocksUnder, inflate, levelForScale, NODATA, parseFrame } from "../../static/js/model/blocks.js";
import { lonLatOf, mercator, meshLocate, meshPosition, SceneGrid } from "../../static/js/model/grid.js";
import { assert, describe, it } from "./shim.js";

function frame(fields = {}) {
    const full = { level: 0, row: 0, col: 0, rowOffset: 0, colOffset: 0, height: BLOCK, width: BLOCK, usedHeight: BLOCK, usedWidth: BLOCK, version: 0, n: 2, mesh: Float64Array.of(0, 0, 1, 0, 0, 1, 1, 1), ...fields };
    return { ...full, isPatch: full.height !== BLOCK || full.width !== BLOCK };
}

const filled = (value, height = BLOCK, width = BLOCK) => new Uint16Array(height * width).fill(value);

/** The bytes of a frame, laid out by hand from docs/protocol.md. */
function frameBytes(payload = [1, 2, 3]) {
    const buffer = new ArrayBuffer(40 + 4 * 16 + payload.length);
    const view = new DataView(buffer);
    [..."CNLB"].forEach((letter, i) => view.setUint8(i, letter.charCodeAt(0)));
    view.setUint8(4, 1);
    view.setUint8(5, 3);
    view.setUint16(6, 2, true);
    [77, 5, 9, 12].forEach((value, i) => view.setUint32(8 + 4 * i, value, true));
    [500, 400, 64, 128, 32, 16].forEach((value, i) => view.setUint16(24 + 2 * i, value, true));
    view.setUint32(36, payload.length, true);
    for (let i = 0; i < 8; i++) view.setFloat64(40 + 8 * i, i * 1.5, true);
    new Uint8Array(buffer, 104).set(payload);
    return buffer;
}

describe("leaf block frame", () => {
    it("is read field by field", () => {
        const read = parseFrame(frameBytes());
        const expected = { level: 3, n: 2, segmentation: 77, version: 5, row: 9, col: 12, usedHeight: 500, usedWidth: 400, rowOffset: 64, colOffset: 128, height: 32, width: 16, isPatch: true };
        for (const [name, value] of Object.entries(expected)) assert.equal(read[name], value);
        assert.same(read.mesh, [0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5]);
        assert.same(read.payload, [1, 2, 3]);
    });

    it("that is none, too new or cut off is refused", () => {
        assert.throws(() => parseFrame(new ArrayBuffer(10)), /10 bytes is no leaf block/);
        assert.throws(() => parseFrame(frameBytes().slice(0, -1)), /should have 107 bytes and has 106/);
        const [wrong, newer] = [frameBytes(), frameBytes()];
        new DataView(wrong).setUint8(0, 0);
        new DataView(newer).setUint8(4, 2);
        assert.throws(() => parseFrame(wrong), /does not begin with CNLB/);
        assert.throws(() => parseFrame(newer), /format 2 is newer than this page/);
    });

    it("is inflated by the platform's own codec", async () => {
        const text = new TextEncoder().encode("leaves leaves leaves");
        const packed = await new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
        assert.same(new Uint8Array(await inflate(new Uint8Array(packed), "gzip")), text);
    });
});

describe("choice of blocks", () => {
    it("takes the finest level whose texels are wide enough", () => {
        assert.equal(levelForScale(4, 5), 0);
        assert.equal(levelForScale(0.75, 5), 0);
        assert.equal(levelForScale(0.74, 5), 1);
        assert.equal(levelForScale(0.375, 5), 1);
        assert.equal(levelForScale(0.1, 5), 3);
        assert.equal(levelForScale(0.001, 5), 4); // coarser there is not
    });

    it("counts the blocks at the edges too", () => {
        assert.same(blocksAcross(1100, 1300, 0), { rows: 3, cols: 3 });
        assert.same(blocksAcross(1100, 1300, 2), { rows: 1, cols: 1 });
    });

    it("is what lies under the window, nearest first, with a ring around", () => {
        const window = { top: 512, left: 512, bottom: 1024, right: 1024 };
        const focus = { row: 768, col: 760 };
        assert.same(blocksUnder(window, 0, 4096, 4096, 0, focus), [[1, 1]]);
        const ring = blocksUnder(window, 0, 4096, 4096, 1, focus);
        assert.equal(ring.length, 9);
        assert.same(ring[0], [1, 1]);
        assert.same(ring[1], [1, 0]); // the focus lies a little to the left
    });

    it("stays inside of the scene", () => {
        const window = { top: -900, left: -900, bottom: 100, right: 100 };
        assert.same(blocksUnder(window, 0, 700, 700, 1, { row: 0, col: 0 }), [[0, 0], [0, 1], [1, 0], [1, 1]]);
        assert.same(blocksUnder({ top: 800, left: 0, bottom: 900, right: 10 }, 0, 700, 700, 1, { row: 0, col: 0 }), []);
    });
});

describe("block cache", () => {
    it("repeats the edge until the neighbor comes, then shares it both ways", () => {
        const cache = new BlockCache();
        const left = cache.add(frame(), filled(7));
        assert.equal(idAt(left.ids, 10, BLOCK), 7);
        const right = cache.add(frame({ col: 1 }), filled(9));
        assert.equal(idAt(left.ids, 10, BLOCK), 9);
        assert.equal(idAt(right.ids, 10, -1), 7);
        assert.equal(idAt(left.ids, -1, 10), 7);
        assert.equal(left.dirty, "all"); // not uploaded yet, so more than its apron
        const below = cache.add(frame({ row: 1, col: 1 }), filled(3));
        assert.equal(idAt(left.ids, BLOCK, BLOCK), 3);
        assert.equal(idAt(below.ids, -1, -1), 7);
    });

    it("fills an overview block patch by patch, counting what comes twice once", () => {
        const cache = new BlockCache();
        const patch = (rowOffset, colOffset, height, width) => frame({ level: 1, rowOffset, colOffset, height, width, usedWidth: 384 });
        const block = cache.add(patch(0, 0, 256, 256), filled(1, 256, 256));
        assert.equal(idAt(block.ids, 300, 0), NODATA);
        cache.add(patch(0, 0, 256, 256), filled(1, 256, 256));
        cache.add(patch(256, 0, 256, 384), filled(2, 256, 384)); // a run of two
        assert(!block.complete, "a quarter is missing");
        assert.equal(idAt(block.ids, 300, 300), 2);
        cache.add(patch(0, 256, 256, 128), filled(3, 256, 128));
        assert(block.complete, "all four quarters are there");
        assert.equal(idAt(block.ids, 10, 383), 3);
    });

    it("keeps a whole block against late patches and older versions", () => {
        const cache = new BlockCache();
        cache.add(frame({ level: 1, version: 2 }), filled(5));
        assert.equal(cache.add(frame({ level: 1, height: 256, width: 256 }), filled(1, 256, 256)), null);
        assert.equal(cache.add(frame({ level: 1, version: 1 }), filled(1)), null);
        assert.equal(idAt(cache.add(frame({ level: 1, version: 3 }), filled(6)).ids, 0, 0), 6);
    });

    it("takes blocks for unfinished that hold numbers out of use, whatever their neighbors hold", () => {
        const cache = new BlockCache();
        const old = cache.add(frame(), filled(7));
        const beside = cache.add(frame({ col: 1 }), filled(9));
        const outdated = new Uint8Array(65536);
        outdated[7] = 1;
        assert(cache.expire(outdated));
        assert.same([old.complete, beside.complete], [false, true]);
        assert(!cache.expire(outdated), "once is enough");
        assert(!cache.add(frame(), filled(7)).complete, "one that was on its way still holds it");
        assert(cache.add(frame({ version: 4 }), filled(61440)).complete);
    });

    it("drops what was used longest ago, never what is needed", () => {
        const cache = new BlockCache({ budget: 2 * SIDE * SIDE * 2 });
        const blocks = [0, 1, 2, 3].map((col) => cache.add(frame({ col }), filled(col)));
        cache.touch(blocks[1]);
        assert.same(cache.evict(new Set([blocks[0].key])).map(({ col }) => col), [2, 3]);
        assert.equal(cache.size, 2);
    });

    it("finds the finest block over a pixel", () => {
        const cache = new BlockCache();
        cache.add(frame({ level: 1 }), filled(4));
        assert.equal(cache.finestAt(700, 30, 3).block.level, 1);
        assert.same([cache.finestAt(700, 30, 3).row, cache.finestAt(700, 30, 3).col], [350, 15]);
        cache.add(frame({ row: 1 }), filled(8));
        const found = cache.finestAt(700, 30, 3);
        assert.same([found.block.level, found.row, found.col], [0, 188, 30]);
        assert.equal(cache.finestAt(2000, 30, 1), null);
    });

    it("refuses a payload of the wrong size", () => {
        assert.throws(() => new BlockCache().add(frame(), filled(1, 2, 2)), /512 x 512 texels holds 4 ids/);
    });
});

describe("mesh", () => {
    // 3 x 3 control points, bent and turned.
    const points = Float64Array.from([0, 0, 10, -1, 20, -3, 2, 10, 12, 9, 22, 7, 5, 20, 15, 19, 25, 17]);

    it("interpolates in the two triangles of a cell, cut from top left to bottom right", () => {
        assert.same(meshPosition(points, 3, 0, 0), [0, 0]);
        assert.same(meshPosition(points, 3, 2, 2), [25, 17]);
        // Upper right triangle of the first cell: A + u (B - A) + v (D - B).
        const [x, y] = meshPosition(points, 3, 0.5, 0.25);
        assert.close(x, 0 + 0.5 * 10 + 0.25 * 2, 1e-12);
        assert.close(y, 0 + 0.5 * -1 + 0.25 * 10, 1e-12);
    });

    it("is found back from any position, outside too", () => {
        for (let u = -0.4; u <= 2.4; u += 0.17) {
            for (let v = -0.4; v <= 2.4; v += 0.13) {
                const [foundU, foundV] = meshLocate(points, 3, ...meshPosition(points, 3, u, v));
                assert.close(foundU, u, 1e-9);
                assert.close(foundV, v, 1e-9);
            }
        }
    });

    it("has vertices around its middle, and triangles on the same diagonal", () => {
        const far = points.map((value, i) => value + (i % 2 ? 6e6 : 1.5e7));
        const { vertices, center, bounds } = meshVertices(far, 3, 400, 300);
        assert.same(bounds, [1.5e7, 6e6 - 3, 1.5e7 + 25, 6e6 + 20]);
        for (let i = 0; i < 9; i++) {
            assert.close(vertices[4 * i] + center[0], far[2 * i], 1e-5);
            assert.close(vertices[4 * i + 1] + center[1], far[2 * i + 1], 1e-5);
        }
        assert.same(vertices.subarray(4 * 5 + 2, 4 * 5 + 4), [400, 150]);
        assert.same(meshTriangles(2), [0, 1, 3, 0, 3, 2]);
        assert.equal(meshTriangles(5).length, 16 * 6);
    });
});

describe("scene grid", () => {
    it("goes to Web Mercator and back", () => {
        const [x, y] = mercator(180, 0);
        assert.close(x, 20037508.342789244, 1e-6);
        assert.close(y, 0, 1e-6);
        const { lon, lat } = lonLatOf(...mercator(13.25, -47.5));
        assert.close(lon, 13.25, 1e-12);
        assert.close(lat, -47.5, 1e-12);
    });

    it("without CRS is the pixel grid itself", () => {
        const grid = new SceneGrid({ crs: null, height: 10, width: 10 });
        assert.same(grid.toPlane(3, 4), [4, 3]);
        assert.same(grid.toPixel(4, 3), { row: 3, col: 4 });
        assert(grid.contains({ row: 9.9, col: 0 }) && !grid.contains({ row: 10, col: 0 }), "rows end at the height");
    });

    it("starts from the outline and gets exact with the meshes", () => {
        // A scene of 600 x 400 pixels, 0.001 degrees each, clockwise from its top left.
        const outline = [[10, 50], [10.4, 50], [10.4, 49.4], [10, 49.4], [10, 50]];
        const grid = new SceneGrid({ crs: "EPSG:4326", height: 600, width: 400, outline });
        const [x, y] = grid.toPlane(600, 400);
        assert.close(x, mercator(10.4, 49.4)[0], 1e-6);
        assert.close(y, mercator(10.4, 49.4)[1], 1e-6);
        const true300 = mercator(10.2, 49.7)[1]; // Mercator is not linear in latitude
        assert(Math.abs(grid.toPlane(300, 200)[1] - true300) > 1, "the outline's corners alone cannot know");
        const rows = Array.from({ length: 65 }, (_, i) => (i / 64) * 512);
        const cols = Array.from({ length: 65 }, (_, i) => (i / 64) * 400);
        const mesh = Float64Array.from(rows.flatMap((row) => cols.flatMap((col) => mercator(10 + col / 1000, 50 - row / 1000))));
        grid.addMesh(frame({ usedHeight: 512, usedWidth: 400, n: 65, mesh }));
        assert.close(grid.toPlane(300, 200)[1], true300, 0.2);
        const { row, col } = grid.toPixel(...mercator(10.2, 49.7));
        assert.close(row, 300, 0.01);
        assert.close(col, 200, 0.01);
    });
});
