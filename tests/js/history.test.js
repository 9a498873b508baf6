import { excerpt, threadsOf } from "../../static/js/model/comments.js";
import { difference, matrixOf, summaryOf } from "../../static/js/model/comparison.js";
import { areaText, authorName, editWords, entryOf, joined, lossWords, moment, ofWhom, timeAgo, turned } from "../../static/js/model/edits.js";
import { RecentEdits } from "../../static/js/recentEdits.js";
import { Viewed } from "../../static/js/viewing.js";
import { Emitter } from "../../static/js/model/emitter.js";
import { Sync } from "../../static/js/sync.js";
import { ProjectState } from "../../static/js/state.js";
import { OverrideIndex } from "../../static/js/model/overrides.js";
import { assert, describe, it } from "./shim.js";

const CLASSES = [
    { number: 1, name: "Water", color: "#0072b2", position: 0, deleted: false },
    { number: 2, name: "Woods", color: "#009e73", position: 1, deleted: false },
    { number: 3, name: "Bog", color: "#cc79a7", position: 2, deleted: true },
];
const AREA = { pixels: 320, area_m2: 32_000 };
const words = (kind, fields = {}) => editWords({ kind, label: null, detail: {}, area: null, ...fields }, CLASSES);

describe("words of an edit", () => {
    it("name the class as it is called now, and how much it was", () => {
        assert.same(words("leaves.assign", { label: 1, area: AREA }), "assigned Water, 3.2 ha");
        assert.same(words("leaves.assign", { label: 3, area: { pixels: 1500, area_m2: null } }), "assigned Bog, 1,500 px");
        assert.same(words("leaves.assign", { label: 9 }), "assigned a class that is gone");
        assert.same(words("leaves.unassign", { area: AREA }), "took a class back, 3.2 ha");
    });

    it("are there for every kind of edit", () => {
        const known = {
            "cluster.split": ["split a cluster into 3", { detail: { parts: 3 } }],
            "class.create": ["added the class Woods", { label: 2, detail: { name: "Woods" } }],
            "class.rename": ["renamed Forest to Woods", { label: 2, detail: { was: "Forest", name: "Woods" } }],
            "class.recolor": ["gave Woods another color", { label: 2 }],
            "class.reorder": ["moved a class in the list", {}],
            "class.delete": ["deleted the class Bog", { label: 3 }],
            "class.merge": ["merged Bog into Water", { label: 1, detail: { sources: [3] } }],
            "legend.load": ["loaded 1 class", { detail: { classes: 1 } }],
            "override.add": ["drew Water", { label: 1 }],
            "aoi.set": ["cleared the area of interest", { detail: { is_set: false } }],
            "segmentation.adopt": ["adopted segmentation 7", { detail: { segmentation: 7 } }],
            "examples.add": ["added 12 examples of Woods", { label: 2, detail: { points: 12 } }],
            "examples.remove": ["removed the examples of 2 edits", { detail: { targets: 2 } }],
            "completion.set": ["completed the map from 70% on", { detail: { on: true, threshold: 0.7 } }],
            "state.restore": ["restored the state after edit 12", { detail: { number: 12 } }],
            "something.new": ["changed the project (something.new)", {}],
        };
        for (const [kind, [sentence, fields]] of Object.entries(known)) assert.same(words(kind, fields), sentence);
        assert.same(words("leaf.split", { label: 2, detail: { parts: 2 } }), "split a cluster for Woods");
        assert.same(words("leaf.split", { detail: { parts: 2 } }), "split a cluster into 2");
        assert.same(words("override.add"), "erased what was drawn");
        assert.same(words("aoi.set", { detail: { is_set: true } }), "set the area of interest");
        assert.same(words("completion.set", { detail: { on: false } }), "ended the completion of the map");
        assert.same(words("segmentation.adopt", { detail: { segmentation: null } }), "let go of a deleted segmentation");
    });

    it("say what an undo took back", () => {
        const what = { kind: "leaves.assign", detail: {} };
        assert.same(words("edit.undo", { label: 1, area: AREA, detail: { target: 4, what } }), "undid: assigned Water, 3.2 ha");
        const renamed = { kind: "class.rename", detail: { was: "Forest", name: "Woods" } };
        assert.same(words("edit.redo", { label: 2, detail: { target: 4, what: renamed } }), "redid: renamed Forest to Woods");
        assert.same(words("edit.undo", { detail: { target: 4 } }), "undid: edit 4");
    });

    it("say who did it", () => {
        assert.same(authorName({ name: "ana" }, "ana"), "You");
        assert.same(authorName({ name: "boris" }, "ana"), "boris");
        assert.same(authorName(null, "ana"), "The server");
        assert.same(areaText(null), "");
    });
});

describe("time", () => {
    const now = new Date(2026, 4, 20, 12, 0, 0).getTime();
    const ago = (ms) => timeAgo(new Date(now - ms).toISOString(), now);

    it("is told in round figures", () => {
        assert.same(ago(20e3), "just now");
        assert.same(ago(-5e3), "just now"); // clocks differ
        assert.same(ago(5 * 60e3 + 1), "5 min ago");
        assert.same(ago(3.5 * 3600e3), "3 h ago");
        assert.same(ago(30 * 3600e3), "19 May, 06:00");
        assert.same(moment(new Date(2025, 0, 2, 3, 4).toISOString(), now), "2 Jan 2025, 03:04");
    });
});

describe("list of recent edits", () => {
    const edit = (number, fields = {}) => ({ number, kind: "leaves.assign", author: { name: "ana" }, live: true, ...fields });

    it("is joined newest first, each once", () => {
        const list = joined([edit(3), edit(2)], [edit(4), edit(2, { live: false }), edit(1)]);
        assert.same(list.map(({ number }) => number), [4, 3, 2, 1]);
        assert.same(list[2].live, false);
    });

    it("strikes through what was taken back, never the undo itself", () => {
        const list = [edit(5, { kind: "edit.undo" }), edit(4), edit(3), edit(2, { live: false })];
        const live = (edits) => edits.map((one) => one.live);
        assert.same(live(turned(list, [[3, 6]], [])), [true, false, false, false]);
        assert.same(live(turned(list, [], [[2, 3]])), [true, true, true, true]);
        assert.same(turned(list), list);
    });

    it("is filtered by whose edits they are", () => {
        const list = [edit(3, { author: { name: "boris" } }), edit(2), edit(1, { author: null })];
        const numbers = (whose) => ofWhom(list, whose, "ana").map(({ number }) => number);
        assert.same(numbers("all"), [3, 2, 1]);
        assert.same(numbers("mine"), [2]);
        assert.same(numbers("others"), [3, 1]);
    });

    it("takes what an event says", () => {
        const event = { number: 4, kind: "leaves.assign", at: "2026", author: { name: "ana" }, label: 1, place: [1, 2], area: AREA, detail: {}, changes: [] };
        const { changes, ...rest } = event;
        assert.same(entryOf(event), { ...rest, live: true });
        assert.same(changes, []);
        assert.same(entryOf({ number: 1, kind: "x", at: "y" }).author, null);
    });

    it("grows by events only where it has no gap", () => {
        const sync = new Emitter();
        const recent = new RecentEdits({ project: { id: 1 }, number: 0 }, sync);
        sync.emit("applied", { event: { number: 1, kind: "class.create", at: "2026" } });
        assert.same(recent.list, []); // nothing was loaded yet: the page that is fetched will hold it
    });

    it("is asked for again where the state was taken over anew meanwhile", async () => {
        const own = globalThis.fetch;
        const answers = [];
        globalThis.fetch = () => new Promise((resolve) => answers.push((body) => resolve(new Response(JSON.stringify(body)))));
        const answer = async (index, newest, oldest, more) => {
            const edits = Array.from({ length: newest - oldest + 1 }, (_, step) => ({ number: newest - step, kind: "class.create" }));
            answers[index]({ number: newest, edits, more });
            await new Promise((resolve) => setTimeout(resolve, 5));
        };
        try {
            const sync = new Emitter();
            const state = { project: { id: 1 }, number: 42 };
            const recent = new RecentEdits(state, sync);
            recent.want();
            await answer(0, 42, 13, true);
            recent.loadOlder();
            state.number = 44; // two edits that no event told
            sync.emit("loaded");
            await answer(1, 12, 1, false);
            await answer(2, 44, 15, true);
            assert.same([recent.list[0].number, recent.list.length, recent.hasMore, recent.isLoading], [44, 30, true, false]);
            sync.emit("applied", { event: { number: 45, kind: "class.create", at: "2026" } });
            assert.equal(recent.list[0].number, 45);
        } finally {
            globalThis.fetch = own;
        }
    });
});

describe("a lost race", () => {
    const loss = (fields = {}) => ({ name: "boris", leaves: 2, mine: 1, theirs: 2, ...fields });

    it("is told with name and class", () => {
        assert.same(lossWords([loss()], CLASSES), "At the same moment boris gave Woods to 2 leaves that you had just made Water. The later change stands.");
        assert.same(lossWords([loss({ leaves: 1, theirs: 0 })], CLASSES), "At the same moment boris gave no class to 1 leaf that you had just made Water. The later change stands.");
    });

    it("is told once for several", () => {
        const several = [loss(), loss({ name: "carla", theirs: 3 }), loss({ mine: 0 })];
        assert.same(lossWords(several, CLASSES), "At the same moment boris and carla gave other classes to 6 leaves that you had just changed. The later change stands.");
        const many = ["a", "b", "c"].map((name) => loss({ name }));
        assert(lossWords(many, CLASSES).startsWith("At the same moment 3 people gave Woods to 6 leaves"));
    });
});

describe("a comparison", () => {
    const comparison = {
        in_area: true,
        classes: CLASSES.slice(0, 2),
        matrix: [
            { before: 1, after: 1, pixels: 10, area_m2: 10_000 },
            { before: 1, after: 2, pixels: 5, area_m2: 5_000 },
            { before: 0, after: 2, pixels: 5, area_m2: 5_000 },
            { before: 3, after: 0, pixels: 20, area_m2: 20_000 },
        ],
    };

    it("is a table with sums", () => {
        const matrix = matrixOf(comparison);
        assert.same(matrix.labels.map(({ name }) => name), ["Water", "Woods", "No class", "Class 3"]);
        assert.same(matrix.cells, [[10_000, 5_000, 0, 0], [0, 0, 0, 0], [0, 5_000, 0, 0], [0, 0, 20_000, 0]]);
        assert.same(matrix.before, [15_000, 0, 5_000, 20_000]);
        assert.same(matrix.after, [10_000, 10_000, 20_000, 0]);
        assert.same([matrix.total, matrix.changed], [40_000, 30_000]);
        assert.same(summaryOf(matrix), "3 ha of 4 ha changed (75.0%).");
    });

    it("is in pixels where nothing is known of the ground", () => {
        const matrix = matrixOf({ ...comparison, in_area: false });
        assert.same(summaryOf(matrix), "30 px of 40 px changed (75.0%).");
        assert.same(matrixOf({ ...comparison, matrix: comparison.matrix.slice(0, 1) }).changed, 0);
        assert.same(summaryOf(matrixOf({ ...comparison, matrix: comparison.matrix.slice(0, 1) })), "Nothing changed between the two.");
    });

    it("says more or less of a class", () => {
        const format = (value) => `${value}`;
        assert.same(difference(5, 8, format), "+3");
        assert.same(difference(8, 5, format), "−3");
        assert.same(difference(5, 5, format), "±0");
    });
});

describe("notes", () => {
    const note = (id, parent, at, fields = {}) => ({ id, parent, row: 1, col: 2, text: `note ${id}`, created_at: at, resolved_at: null, ...fields });

    it("are threads, the latest written first", () => {
        const threads = threadsOf([note(1, null, "2026-01"), note(2, null, "2026-02"), note(3, 1, "2026-03"), note(4, 9, "2026-04")]);
        assert.same(threads.map(({ id }) => id), [1, 2]);
        assert.same(threads[0].all.map(({ id }) => id), [1, 3]);
        assert.same(threads[0].isSettled, false);
        assert.same(threadsOf([note(1, null, "2026-01", { resolved_at: "2026-02" })])[0].isSettled, true);
    });

    it("are shortened to a line", () => {
        assert.same(excerpt("\n  two\nlines"), "two");
        assert.same(Array.from(excerpt("🌊".repeat(200))).length, 90);
    });
});

describe("an earlier state", () => {
    const SEGMENTATION = { id: 7, state: "complete", tree_ready: true, version: 0 };
    const message = {
        number: 5, project: { id: 1, name: "p", aoi: null }, scene: {}, user: "ana", classes: CLASSES, segmentation: SEGMENTATION,
        segmentations: [SEGMENTATION], offered: null, can_undo: false, can_redo: false, completion: { on: false, threshold: 0.5 },
    };
    const socket = () => Object.assign(new Emitter(), { send: () => true });
    const viewed = (fields = {}) => new Viewed({ number: 2, classes: CLASSES.slice(0, 1), aoi: null, overrides: new OverrideIndex(), ...fields }, new Uint8Array([1, 1, 0]));

    it("stands in for now until it is left", () => {
        const state = new ProjectState();
        state.load(message, new Uint8Array([0, 2, 2]));
        state.setActiveClass(2);
        state.setViewed(viewed());
        assert.same([...state.table], [1, 1, 0]);
        assert.same([...state.completedTable], [1, 1, 0]);
        assert.same(state.classes.length, 1);
        assert.same(state.activeClass, 2);
        state.setViewed(null);
        assert.same([...state.table], [0, 2, 2]);
        assert.same(state.classes.length, 2);
        assert.same(state.activeClass, 2);
    });

    it("stays as it is while others go on", () => {
        const state = new ProjectState();
        state.load(message, new Uint8Array([0, 2, 2]));
        state.setViewed(viewed());
        state.apply({ number: 6, kind: "leaves.assign", changes: [[0, 3, 2]], client_id: "" });
        assert.same([...state.table], [1, 1, 0]);
        state.setViewed(null);
        assert.same([...state.table], [2, 2, 2]);
    });

    it("has leaves that were split since as their parents were", () => {
        const splits = { version: 6, leaves: [[1, 4, 2, 1, 0]], clusters: [] };
        const one = viewed();
        assert.same([...one.tableWith(splits)], [1, 1, 0, 0, 1, 1]);
        assert(one.tableWith(splits) === one.tableWith(splits));
    });

    it("refuses commands as the server would", async () => {
        const state = new ProjectState();
        const sync = new Sync(state, socket());
        sync.refusal = ({ type }) => (type === "state.restore" ? "" : "Not now.");
        const rejected = [];
        sync.on("rejected", ({ event, command }) => rejected.push([event.code, event.message, command.type]));
        const command = sync.dispatch({ type: "class.rename" });
        assert(command.client_id);
        assert.same(state.pending.length, 0);
        assert.same(rejected, []); // whoever asked has its command first
        await Promise.resolve();
        assert.same(rejected, [["forbidden", "Not now.", "class.rename"]]);
        sync.dispatch({ type: "state.restore", number: 1 });
        assert.same(state.pending.length, 1);
    });
});
