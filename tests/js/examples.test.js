import { describeExample, describeSum, drawnExamples, examplesAfter, examplesByClass, mayChangeExamples } from "../../static/js/model/examples.js";
import { legendFile, matchesFilter, missingClasses, parseLegend } from "../../static/js/model/legend.js";
import { MOST_POINTS, pixelsAlong, thinned } from "../../static/js/model/strokes.js";
import { assert, describe, it } from "./shim.js";

const at = (row, col) => ({ row, col });
const ok = (value, what = "") => assert.equal(Boolean(value) || what, true);
const same = (actual, expected) => assert.equal(JSON.stringify(actual), JSON.stringify(expected));

describe("pixels of a stroke", () => {
    it("follow the way in order, each once", () => {
        same(pixelsAlong([at(0.5, 0.5), at(0.5, 3.5), at(0.5, 0.5)], 9, 9), [[0, 0], [0, 1], [0, 2], [0, 3]]);
        same(pixelsAlong([at(2.5, 2.5), at(0.5, 0.5)], 9, 9), [[2, 2], [1, 1], [0, 0]]);
    });

    it("of a tap are the one pixel", () => same(pixelsAlong([at(4.99, 0)], 9, 9), [[4, 0]]));

    it("leave no gap", () => {
        const pixels = pixelsAlong([at(0, 0), at(33.3, 90.7), at(80, 20)], 100, 100);
        for (let i = 1; i < pixels.length; i++) {
            const apart = Math.max(Math.abs(pixels[i][0] - pixels[i - 1][0]), Math.abs(pixels[i][1] - pixels[i - 1][1]));
            assert.equal(apart, 1);
        }
    });

    it("outside the scene are left out", () => {
        same(pixelsAlong([at(-3, 1.5), at(1.5, 1.5)], 9, 9), [[0, 1], [1, 1]]);
        same(pixelsAlong([at(-3, -3)], 9, 9), []);
        same(pixelsAlong([at(8.5, 8.5), at(8.5, 1e9)], 9, 9), [[8, 8]]);
    });

    it("are thinned evenly, with both ends", () => {
        const items = Array.from({ length: 1001 }, (_, i) => i);
        same(thinned(items, 3), [0, 500, 1000]);
        assert.equal(thinned(items).length, MOST_POINTS);
        same(thinned([1, 2], 5), [1, 2]);
        same(thinned(items, 1), [0]);
    });
});

const click = { number: 3, class: 1, against: false, kind: "click", points: [[1, 2]] };
const stroke = { number: 4, class: 1, against: true, kind: "stroke", points: [[1, 2], [1, 3]] };
const imported = [1, 2].map((number) => ({ number: 5, class: number, against: false, kind: "import", points: Array(30).fill([0, 0]) }));

describe("examples", () => {
    it("of a pending stroke show at once, and those of a pending removal no more", () => {
        const pending = [
            { type: "examples.add", examples: [{ class: 2, against: false, points: [[9, 9]] }] },
            { type: "examples.remove", targets: [3] },
            { type: "class.create" },
        ];
        same(examplesAfter([click, stroke], pending), [stroke, { class: 2, against: false, points: [[9, 9]], number: 0, kind: "stroke" }]);
    });

    it("are counted by class", () => {
        const sums = examplesByClass([click, stroke, ...imported]);
        same(sums.get(1), { points: 31, against: 2, clicks: 1, strokes: 1, imported: 30 });
        same(sums.get(2), { points: 30, against: 0, clicks: 0, strokes: 0, imported: 30 });
        assert.equal(describeSum(sums.get(1)), "1 click, 1 stroke, 30 px imported");
        assert.equal(describeSum({ clicks: 2, strokes: 0, imported: 0 }), "2 clicks");
    });

    it("tell what they are and what removing them takes", () => {
        const all = [click, stroke, ...imported];
        same(describeExample(click, all), { text: "A click", action: "Remove the example" });
        same(describeExample(stroke, all), { text: "A stroke, 2 px", action: "Remove the stroke" });
        same(describeExample(imported[0], all), { text: "Imported, 30 px", action: "Remove the whole import (60 px)" });
    });

    it("of a large import are drawn in part, clicks always", () => {
        const drawn = drawnExamples([click, ...imported], 20);
        assert.equal(drawn[0].points.length, 1);
        assert.equal(drawn[1].points.length + drawn[2].points.length, 20);
        assert.equal(drawnExamples(imported, 60)[0].points.length, 30);
    });

    it("follow edits of leaves and examples, not of names and areas", () => {
        for (const kind of ["leaves.assign", "leaves.unassign", "examples.add", "examples.remove", "class.delete", "edit.undo", "edit.redo", "segmentation.adopt"]) {
            ok(mayChangeExamples(kind), kind);
        }
        for (const kind of ["aoi.set", "class.rename", "class.create", "legend.load", "completion.set"]) ok(!mayChangeExamples(kind), kind);
    });
});

describe("legends", () => {
    const classes = [{ number: 2, name: "Water", color: "#0000ff" }, { number: 10, name: "Été", color: "#ffffff" }, { number: 0, name: "pending", color: "#000000" }];

    it("come back from their file", () => {
        same(parseLegend(legendFile(classes)), [{ name: "Water", color: "#0000ff" }, { name: "Été", color: "#ffffff" }]);
        same(JSON.parse(legendFile(classes)).classes, { 2: "Water", 10: "Été" });
    });

    it("without colors get different ones", () => {
        const [first, second] = parseLegend('{"classes": {"1": " A ", "2": "B"}}');
        assert.equal(first.name, "A");
        ok(/^#[0-9a-f]{6}$/.test(first.color) && first.color !== second.color);
    });

    it("that are none are refused with a sentence", () => {
        assert.throws(() => parseLegend("x"), /not JSON .*A legend is JSON like/);
        for (const text of ["[]", "null", "{}", '{"classes": []}', '{"classes": {}}', '{"classes": {"1": "a"}, "colors": 3}']) {
            assert.throws(() => parseLegend(text), /The file holds no classes/);
        }
        assert.throws(() => parseLegend('{"classes": {"7": "  "}}'), /Class 7 of the file needs a name/);
        assert.throws(() => parseLegend(JSON.stringify({ classes: { 7: "x".repeat(81) } })), /Class 7/);
        assert.throws(() => parseLegend('{"classes": {"1": "A"}, "colors": {"1": "blue"}}'), /“A” has the color “blue”; write colors as #rrggbb/);
        const many = Object.fromEntries(Array.from({ length: 251 }, (_, i) => [i + 1, `c${i}`]));
        assert.throws(() => parseLegend(JSON.stringify({ classes: many })), /251 classes.*at most 250/);
    });

    it("add what is missing, whatever the case", () => {
        const wanted = [{ name: "WATER" }, { name: "Sand" }, { name: "sand" }];
        same(missingClasses(wanted, classes), [{ name: "Sand" }]);
    });

    it("are filtered by words, whatever case and accents", () => {
        ok(matchesFilter("Broad-leaved forest", "FOREST broad"));
        ok(matchesFilter("Été", "ete"));
        ok(matchesFilter("Water", "  "));
        ok(!matchesFilter("Broad-leaved forest", "forest mixed"));
    });
});
