import { describePlace, following, samePlace, tilesOver } from "../../static/js/model/suggestions.js";
import { assert, describe, it } from "./shim.js";

const [a, b, c] = [[1, 2], [3, 4], [5, 6]].map(([row, col]) => ({ row, col, area_px: 5000, certainty: 0.43 }));

describe("which suggestion follows", () => {
    it("is the first, then each in turn", () => {
        assert.equal(following([a, b, c], null), a);
        assert.equal(following([a, b, c], { ...a }), b);
        assert.equal(following([a, b, c], c), a);
    });

    it("is the first of a new list that the active one is not in, and none of an empty one", () => {
        assert.equal(following([b, c], a), b);
        assert.equal(following([], a), null);
    });

    it("knows a place by its pixel", () => {
        assert.equal(samePlace(a, { row: 1, col: 2 }), true);
        assert.equal(samePlace(a, b), false);
        assert.equal(samePlace(null, null), false);
    });
});

describe("what is said of a suggestion", () => {
    it("names the likely class, how sure it is, and the size", () => {
        assert.equal(describePlace(a, { name: "Water" }, 10), "likely Water, 43% sure; about 50 ha");
        assert.equal(describePlace(a, null, null), "not known at all; about 5,000 px");
    });
});

describe("tiles of a picture", () => {
    it("cover the square and fit together", () => {
        // A square of 200 world pixels around the corner of four tiles, on a canvas of 100.
        const tiles = tilesOver({ x: 512, y: 256 }, 200, 3, 100, false);
        assert.same(tiles.map(({ z, x, y }) => [z, x, y]), [[3, 1, 0], [3, 2, 0], [3, 1, 1], [3, 2, 1]]);
        assert.same(tiles[0], { z: 3, x: 1, y: 0, left: -78, top: -78, size: 128 });
        assert.same([tiles[3].left, tiles[3].top], [50, 50]);
    });

    it("go on beyond the antimeridian, yet not beyond the edges of a scene without CRS", () => {
        const columns = (wraps, x) => tilesOver({ x, y: 384 }, 100, 2, 100, wraps).map((tile) => tile.x);
        assert.same(columns(true, 0), [3, 0]);
        assert.same(columns(true, 4 * 256), [3, 0]);
        assert.same(columns(false, 0), [0]);
    });

    it("leave out what lies above the world", () => {
        assert.same(tilesOver({ x: 100, y: 10 }, 60, 2, 60, true).map(({ y }) => y), [0]);
    });
});
