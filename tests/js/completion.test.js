import { extentsByClass, prefixSums } from "../../static/js/model/areas.js";
import {
    certaintyTexels,
    classOfLeaf,
    completedTable,
    fitted,
    formatCertainty,
    hasPredictions,
    isPrediction,
    lowestCertainty,
    readPrediction,
    SOURCE,
} from "../../static/js/model/completion.js";
import { completionAfter } from "../../static/js/model/history.js";
import { completionText } from "../../static/js/panels/completion.js";
import { ProjectState } from "../../static/js/state.js";
import { assert, describe, it } from "./shim.js";

const palette = new Map([[1, [255, 0, 0]], [2, [0, 0, 255]]]);
const prediction = { classes: Uint8Array.of(2, 2, 1, 9, 0), certainty: Uint8Array.of(255, 128, 127, 255, 0) };
const on = { on: true, threshold: 0.5 };

/** A frame as docs/protocol.md lays it out. */
async function frame({ segmentation = 8, version = 0, number = 5, classes = [1, 2], certainty = [10, 250], nLeaves = classes.length, format = 1 } = {}) {
    const stream = new Blob([Uint8Array.from([...classes, ...certainty])]).stream().pipeThrough(new CompressionStream("gzip"));
    const payload = new Uint8Array(await new Response(stream).arrayBuffer());
    const buffer = new ArrayBuffer(32 + payload.length);
    const view = new DataView(buffer);
    [..."CNDT"].forEach((letter, at) => view.setUint8(at, letter.charCodeAt(0)));
    view.setUint8(4, format);
    [segmentation, version, number, nLeaves, 42, payload.length].forEach((word, i) => view.setUint32(8 + 4 * i, word, true));
    new Uint8Array(buffer, 32).set(payload);
    return buffer;
}

/** The message of the error that an action ends with. */
async function failure(action) {
    try {
        await action;
    } catch (error) {
        return error.message;
    }
    throw new Error("expected an error, got none");
}

describe("decoder's table", () => {
    it("is read from its bytes", async () => {
        const read = await readPrediction(await frame());
        assert.same(read, { segmentation: 8, version: 0, number: 5, nLeaves: 2, elapsedMs: 42, classes: [1, 2], certainty: [10, 250] });
        assert(hasPredictions(read));
        assert(!hasPredictions(await readPrediction(await frame({ classes: [0, 0] }))));
        assert(!hasPredictions(null));
    });

    it("is told from a leaf block", async () => {
        assert(isPrediction(await frame()));
        assert(!isPrediction(new TextEncoder().encode("CNLB....").buffer));
        assert(!isPrediction(new ArrayBuffer(2)));
    });

    it("that is damaged is refused with a sentence", async () => {
        const whole = await frame();
        assert(/12 bytes is too short/.test(await failure(readPrediction(whole.slice(0, 12)))));
        assert(/should have \d+ bytes and has/.test(await failure(readPrediction(whole.slice(0, -1)))));
        assert(/format 2 is newer than this page; reload it/.test(await failure(readPrediction(await frame({ format: 2 })))));
        assert(/3 leaves holds 4 bytes, not 6/.test(await failure(readPrediction(await frame({ nLeaves: 3 })))));
        assert(/does not begin with CNDT/.test(await failure(readPrediction(new ArrayBuffer(40)))));
    });
});

describe("class of a leaf", () => {
    const table = Uint8Array.of(1, 0, 0, 0, 9);

    it("is its own, or the decoder's from the threshold on", () => {
        assert.same(completedTable(table, prediction, on, palette), [1, 2, 0, 0, 0]);
        assert.same(completedTable(table, prediction, { on: true, threshold: 0.4 }, palette), [1, 2, 1, 0, 0]);
        assert.same(completedTable(table, prediction, { on: true, threshold: 1 }, palette), [1, 0, 0, 0, 0]);
        assert.same(completedTable(table, prediction, { on: true, threshold: 0 }, palette), [1, 2, 1, 0, 0]);
    });

    it("is its own alone where the map is not completed", () => {
        assert.equal(completedTable(table, prediction, { on: false, threshold: 0 }, palette), table);
        assert.equal(completedTable(table, null, on, palette), table);
        assert.equal(completedTable(null, prediction, on, palette), null);
    });

    it("tells where it comes from and how certain it is", () => {
        const shown = completedTable(table, prediction, on, palette);
        const at = (leaf) => classOfLeaf(leaf, table, shown, prediction, palette);
        assert.same(at(0), { class: 1, source: "assigned", certainty: 1 });
        assert.same(at(1), { class: 2, source: "predicted", certainty: 128 / 255 });
        assert.same(at(2), { class: 0, source: null, certainty: 127 / 255 });
        assert.same(at(3), { class: 0, source: null, certainty: 0 }); // predicted as a class that has been deleted
        assert.same(at(4), { class: 0, source: null, certainty: 0 }); // given a class that has been deleted
    });

    it("reaches the shader with its certainty and source", () => {
        const shown = completedTable(table, prediction, on, palette);
        const texels = certaintyTexels(table, shown, prediction, palette);
        assert.equal(texels.length, 65536 * 2);
        assert.same(texels.subarray(0, 10), [255, SOURCE.assigned, 128, SOURCE.predicted, 127, SOURCE.unsure, 0, SOURCE.none, 0, SOURCE.none]);
        assert.same(certaintyTexels(null, null, null, palette).subarray(0, 2), [0, 0]);
    });

    it("has a threshold that 0 to 255 reaches as 0 to 1 does", () => {
        assert.same([0, 0.2, 0.5, 0.999, 1, 1.1].map(lowestCertainty), [0, 51, 128, 255, 255, 256]);
        for (let byte = 0; byte <= 255; byte++) assert.equal(lowestCertainty(byte / 255), byte);
    });

    it("has areas that count what is predicted", () => {
        const values = Float64Array.of(1, 2, 4, 8, 16);
        const statistics = { values, valueSums: prefixSums(values), inArea: true };
        const shown = completedTable(table, prediction, on, palette);
        const extents = extentsByClass(statistics, shown, table, palette);
        assert.same(extents.get(1), { value: 1, predicted: 0, inArea: true, share: 1 / 31 });
        assert.same(extents.get(2), { value: 2, predicted: 2, inArea: true, share: 2 / 31 });
        assert.same(extents.get(0), { value: 28, predicted: 0, inArea: true, share: 28 / 31 });
    });

    it("is told with a certainty that never pretends", () => {
        assert.same([0, 0.004, 0.834, 0.998, 1].map(formatCertainty), ["0%", "0%", "83%", "99%", "100%"]);
    });
});

describe("sentence under the switch", () => {
    const extents = new Map([[0, { value: 1, predicted: 0, share: 0.1 }], [1, { value: 9, predicted: 4, share: 0.9 }]]);

    it("says what to do first, what there is, and how much of the map it is", () => {
        assert(completionText(on, false, extents).includes("once two classes have a cluster each"));
        assert.equal(completionText({ ...on, on: false }, true, extents), "Predict the rest of the map from your clicks.");
        assert.equal(completionText(on, true, extents), "40.0% is predicted (striped), 10.0% stays open.");
        assert.equal(completionText(on, true, null), "The rest of the map is predicted from your clicks.");
    });
});

describe("completed map of the project", () => {
    const water = { number: 1, name: "Water", color: "#0000ff", position: 0, deleted: false };
    const segmentation = { id: 8, version: 0, state: "complete", tree_ready: true };
    const message = (changes = {}) => ({
        type: "project.state", number: 4, project: { id: 1, name: "P", aoi: null }, scene: { id: 1, info: {} }, user: "u",
        classes: [water], segmentation, segmentations: [segmentation], offered: null, can_undo: false, can_redo: false,
        completion: { on: true, threshold: 0.5 }, ...changes,
    });
    const table = (number, more = {}) => ({ segmentation: 8, version: 0, number, nLeaves: 2, elapsedMs: 1, classes: Uint8Array.of(1, 1), certainty: Uint8Array.of(200, 50), ...more });

    function loaded(changes) {
        const state = new ProjectState();
        state.load(message(changes), new Uint8Array(2));
        return state;
    }

    it("shows the newest table; an older one changes nothing", () => {
        const state = loaded();
        assert.same(state.completedTable, [0, 0]);
        assert(state.setPrediction(table(5)));
        assert.same(state.completedTable, [1, 0]);
        assert(!state.setPrediction(table(4, { certainty: Uint8Array.of(255, 255) })));
        assert.same(state.completedTable, [1, 0]);
        assert(state.setPrediction(table(5, { certainty: Uint8Array.of(255, 255) })));
        assert.same(state.completedTable, [1, 1]);
    });

    it("leaves out a table of other leaves until they are here", () => {
        const state = loaded();
        state.setPrediction(table(6, { segmentation: 9 }));
        assert.equal(state.prediction, null);
        assert.same(state.completedTable, [0, 0]);
        state.load(message({ number: 6, segmentation: { ...segmentation, id: 9 } }), new Uint8Array(2));
        assert.same(state.completedTable, [1, 0]);
        state.load(message({ number: 7, segmentation: { ...segmentation, id: 9 } }), new Uint8Array(3));
        assert.equal(state.prediction, null); // another number of leaves
        state.load(message({ number: 8 }), new Uint8Array(2));
        state.setPrediction(table(8, { version: 1 }));
        assert.equal(state.prediction, null); // of leaves that a split on its way makes
    });

    it("goes on with a table from before a split until the next comes, children being as their parent was", () => {
        const [old, splits] = [table(5), { version: 3, leaves: [[0, 4, 2]], clusters: [] }];
        const now = { id: 8, version: 3 };
        assert.same(fitted(old, now, new Uint8Array(2), splits), old); // split and joined again
        const children = fitted(old, now, new Uint8Array(6), splits);
        assert.same(children.classes, [1, 1, 0, 0, 1, 1]);
        assert.same(children.certainty, [200, 50, 0, 0, 200, 200]);
        assert.equal(children.nLeaves, 6);
        assert.equal(fitted(old, now, new Uint8Array(9), splits), null);
        assert.equal(fitted(old, { id: 8, version: 0 }, new Uint8Array(6), splits), null);
        assert.equal(fitted(old, null, null, splits), null);
    });

    it("follows the settings of all members, a pending command and the slider", () => {
        const state = loaded({ completion: undefined });
        assert.same(state.completion, { on: false, threshold: 0.5 });
        state.setPrediction(table(4));
        let told = 0;
        state.on("completion", () => told++);
        state.addPending({ type: "completion.set", client_id: "a", on: true, threshold: 0.1 });
        assert.same(state.completedTable, [1, 1]);
        state.setThresholdPreview(0.9);
        assert.same(state.completedTable, [0, 0]);
        state.setThresholdPreview(null);
        state.reject("a");
        assert.same(state.completion, { on: false, threshold: 0.5 });
        const event = { type: "edit.applied", number: 5, changes: [], client_id: "", can_undo: true, can_redo: false, message: "" };
        state.apply({ ...event, project: { completion: { on: true, threshold: 0.7 } } });
        assert.same(state.completion, { on: true, threshold: 0.7 });
        assert.same(state.completedTable, [1, 0]);
        assert.equal(told, 5);
    });

    it("is settled by the last of several commands", () => {
        const settings = { on: false, threshold: 0.5 };
        assert.equal(completionAfter(settings, []), settings);
        const commands = [{ type: "completion.set", on: true, threshold: 0.2 }, { type: "completion.set", on: true, threshold: 0.3 }];
        assert.same(completionAfter(settings, commands), { on: true, threshold: 0.3 });
    });

    it("says of a leaf and of a cluster what they show", () => {
        const state = loaded();
        state.setPrediction(table(5));
        assert.same(state.classOfLeaf(0), { class: 1, source: "predicted", certainty: 200 / 255 });
        assert.equal(state.classOfLeaf(null), null);
        assert.equal(state.classOfLeaf(2), null);
        const rgb = new Uint8Array(9);
        const [parent, low, high] = [[2, 2, 2], [0, 1, 0], [1, 2, 2]].map((values) => Uint32Array.from(values));
        state.setTree({ nLeaves: 2, version: 0, parent, low, high, rgb });
        state.setCut(2);
        assert.equal(state.classOfCluster(state.clusterOfLeaf(0)).name, "Water");
        state.setCut(1);
        assert.equal(state.classOfCluster(state.clusterOfLeaf(0)), "mixed");
        assert(!state.hasAssignments(1), "a prediction is no assignment");
    });
});
