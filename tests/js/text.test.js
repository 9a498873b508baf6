import { bandLabel, checkStretch, dataBands, defaultStretch, indices, presets, tileQuery } from "../../static/js/model/bands.js";
import { checkName, liveClasses, moved, nextColor, nextName, PALETTE } from "../../static/js/model/classes.js";
import { parseAreaOfInterest, ringsOf } from "../../static/js/model/geometry.js";
import { formatLatLon, formatTimeLeft, parseLatLon, parsePixel } from "../../static/js/model/place.js";
import { assert, describe, it } from "./shim.js";

describe("places", () => {
    const close = (text, lat, lon) => {
        const place = parseLatLon(text);
        assert.close(place.lat, lat, 1e-9);
        assert.close(place.lon, lon, 1e-9);
    };

    it("are decimal degrees", () => {
        close("47.5, 13", 47.5, 13);
        close("-33.9 151.2", -33.9, 151.2);
        close("47.5N, 13.25W", 47.5, -13.25);
    });

    it("are degrees, minutes and seconds", () => {
        close("47°30'N 13°E", 47.5, 13);
        close("33°54'36\"S, 18°25'12\"E", -33.91, 18.42);
        close("-0°30' 13°", -0.5, 13);
    });

    it("may come longitude first, by their letters", () => close("13°E 47°30'N", 47.5, 13));

    it("that are none are told what one looks like", () => {
        assert.throws(() => parseLatLon("Vienna"), /"Vienna" is not a place\. Type latitude, longitude/);
        assert.throws(() => parseLatLon("95, 13"), /Latitude 95 is beyond 90/);
        assert.throws(() => parseLatLon("10, 400"), /Longitude 400 is beyond 360/);
        assert.throws(() => parseLatLon("10N, 20S"), /gives lat twice/);
        assert.throws(() => parseLatLon("10°75'N 5°E"), /minutes or seconds of 60 or more/);
    });

    it("in pixels are inside of the image", () => {
        assert.same(parsePixel("120, 340", 500, 600), { row: 120, col: 340 });
        assert.throws(() => parsePixel("500, 0", 500, 600), /outside the image of 500 rows and 600 columns/);
        assert.throws(() => parsePixel("47°N", 500, 600), /is not a pixel/);
    });

    it("are told with their hemisphere, wrapped round the antimeridian", () => {
        assert.equal(formatLatLon(-1.5, 190), "1.50000° S, 170.00000° W");
        assert.equal(formatLatLon(47.5, 13), "47.50000° N, 13.00000° E");
    });

    it("have a time left that is told in its unit", () => {
        assert.equal(formatTimeLeft(null), "");
        assert.equal(formatTimeLeft(0.2), "1 s left");
        assert.equal(formatTimeLeft(200), "3 min left");
        assert.equal(formatTimeLeft(7300), "2 h left");
    });
});

describe("classes", () => {
    const classes = [
        { number: 1, name: "Water", color: PALETTE[1], position: 1, deleted: false },
        { number: 2, name: "Class 1", color: PALETTE[0], position: 0, deleted: false },
        { number: 3, name: "Old", color: PALETTE[2], position: 2, deleted: true },
    ];

    it("are shown in their order, deleted ones not at all", () => {
        assert.same(liveClasses(classes).map(({ number }) => number), [2, 1]);
    });

    it("get the first color and name that are free", () => {
        assert.equal(nextColor(classes), PALETTE[2]);
        assert.equal(nextName(classes), "Class 2");
        assert.equal(nextName([]), "Class 1");
    });

    it("get a color even when all are taken", () => {
        const all = PALETTE.map((color, i) => ({ number: i + 1, name: String(i), color, position: i, deleted: false }));
        assert(PALETTE.includes(nextColor(all)));
    });

    it("have names that are checked as the server checks them", () => {
        assert.equal(checkName("  Forest ", classes), "Forest");
        assert.equal(checkName("water", classes, 1), "water");
        assert.equal(checkName("old", classes), "old");
        assert.throws(() => checkName("WATER", classes), /There is a class "Water" already/);
        assert.throws(() => checkName("  ", classes), /needs a name/);
        assert.throws(() => checkName("x".repeat(81), classes), /has 81 characters/);
    });

    it("move inside their order", () => {
        assert.same(moved([1, 2, 3], 3, 0), [3, 1, 2]);
        assert.same(moved([1, 2, 3], 1, 9), [2, 3, 1]);
        assert.same(moved([1, 2, 3], 1, -1), [1, 2, 3]);
    });
});

describe("bands", () => {
    const info = {
        n_bands: 5,
        band_names: ["B04", "", "B02", "B08", ""],
        band_roles: ["red", "green", "blue", "nir", "alpha"],
        percentiles: [[0, 10], [1, 11], [2, 2], [3, 13], [0, 1]],
    };
    const gray = { n_bands: 1, band_names: [""], band_roles: [""], percentiles: [[5, 9]] };

    it("allow true color, false color and indices by their roles", () => {
        assert.same(presets(info).map(({ id, bands }) => [id, bands]), [["true-color", [1, 2, 3]], ["false-color", [4, 1, 2]]]);
        assert.same(indices(info).map(({ id, bands }) => [id, bands]), [["ndvi", [4, 1]], ["ndwi", [2, 4]]]);
        assert.same(dataBands(info), [1, 2, 3, 4]);
    });

    it("without roles are shown as they come", () => {
        assert.same(presets(gray).map(({ id, bands }) => [id, bands]), [["first", [1, 1, 1]]]);
        assert.same(indices(gray), []);
    });

    it("are named where they have a name", () => {
        assert.equal(bandLabel(info, 1), "1 · B04");
        assert.equal(bandLabel(info, 2), "2 · green");
        assert.equal(bandLabel(gray, 1), "Band 1");
    });

    it("make the query of the tiles", () => {
        const stretch = defaultStretch(info, [1, 2, 3]);
        assert.same(stretch, { low: [0, 1, 2], high: [10, 11, 3] });
        assert.equal(tileQuery(info, { bands: [1, 2, 3], index: null, ...stretch }), "bands=1,2,3&stretch=0%2C10%3B1%2C11%3B2%2C3");
        assert.equal(tileQuery(gray, { bands: [1, 1, 1], index: null, ...defaultStretch(gray, [1, 1, 1]) }), "bands=1&stretch=5%2C9");
        assert.equal(tileQuery(info, { bands: [1, 2, 3], index: "ndvi", ...stretch }), "index=ndvi&index_bands=4,1");
    });

    it("refuse an empty stretch", () => {
        assert.throws(() => checkStretch(5, 5), /from 5 to 5 is empty/);
        assert.throws(() => checkStretch(NaN, 5), /needs two numbers/);
    });
});

describe("area of interest", () => {
    const ring = [[0, 0], [1, 0], [1, 1], [0, 0]];
    const polygon = { type: "Polygon", coordinates: [ring] };
    const read = (value, georeferenced = true) => parseAreaOfInterest(JSON.stringify(value), georeferenced);

    it("is a polygon, alone or in a feature", () => {
        assert.same(read(polygon), polygon);
        assert.same(read({ type: "Feature", geometry: polygon, properties: null }), polygon);
    });

    it("is all polygons of a collection together", () => {
        const both = { type: "FeatureCollection", features: [{ type: "Feature", geometry: polygon }, { type: "Feature", geometry: polygon }] };
        assert.same(read(both), { type: "MultiPolygon", coordinates: [[ring], [ring]] });
        assert.equal(ringsOf(read(both)).length, 2);
    });

    it("is closed and flat afterwards", () => {
        assert.same(read({ type: "Polygon", coordinates: [[[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 1, 5]]] }).coordinates[0], [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]);
    });

    it("that is none is told why", () => {
        assert.throws(() => parseAreaOfInterest("{", true), /is not JSON/);
        assert.throws(() => read({ type: "Point", coordinates: [0, 0] }), /holds no polygon/);
        assert.throws(() => read({ type: "Polygon", coordinates: [] }), /has no ring/);
        assert.throws(() => read({ type: "Polygon", coordinates: [[[0, 0], [1, 1]]] }), /has 2 positions/);
        assert.throws(() => read({ type: "Polygon", coordinates: [[["a", 0], [1, 1], [0, 1], [0, 0]]] }), /not a position/);
        const metres = { type: "Polygon", coordinates: [[[5e5, 5e6], [5e5, 6e6], [6e5, 6e6], [5e5, 5e6]]] };
        assert.throws(() => read(metres), /export the file in EPSG:4326/);
        assert.equal(read(metres, false).type, "Polygon");
    });
});
