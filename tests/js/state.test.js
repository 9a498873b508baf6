import { aoiAfter, classesAfter, sequence, tableAfter } from "../../static/js/model/history.js";
import { backoff, ProjectSocket } from "../../static/js/socket.js";
import { ProjectState } from "../../static/js/state.js";
import { newClientId, Sync } from "../../static/js/sync.js";
import { assert, describe, it } from "./shim.js";

const tree = {
    nLeaves: 4,
    version: 0,
    parent: Uint32Array.from([5, 5, 4, 4, 6, 6, 6]),
    low: Uint32Array.from([0, 1, 2, 3, 2, 0, 0]),
    high: Uint32Array.from([1, 2, 3, 4, 4, 2, 4]),
    rgb: new Uint8Array(21),
};
const water = { number: 1, name: "Water", color: "#0000ff", position: 0, deleted: false };

const stateMessage = (changes = {}) => ({
    type: "project.state",
    number: 4,
    project: { id: 1, name: "P", aoi: null },
    scene: { id: 1, info: {} },
    user: "u",
    classes: [water],
    segmentation: { id: 8, version: 0, state: "complete", tree_ready: true },
    segmentations: [{ id: 8, version: 0, state: "complete", tree_ready: true }],
    offered: null,
    can_undo: false,
    can_redo: false,
    ...changes,
});

function loaded(table = [0, 0, 0, 0]) {
    const state = new ProjectState();
    state.load(stateMessage(), Uint8Array.from(table));
    state.setTree(tree);
    return state;
}

const edit = (number, changes, more = {}) => ({ type: "edit.applied", number, changes, client_id: "", can_undo: true, can_redo: false, message: "", ...more });

describe("optimistic history", () => {
    const pending = [
        { type: "leaves.assign", segmentation: 8, ranges: [[0, 2]], class: 1 },
        { type: "leaves.unassign", segmentation: 8, ranges: [[1, 2]] },
        { type: "leaves.assign", segmentation: 7, ranges: [[2, 4]], class: 1 },
    ];

    it("puts pending commands over the table, those for other leaves left out", () => {
        assert.same(tableAfter(Uint8Array.of(2, 2, 2, 2), pending, 8), [1, 0, 2, 2]);
        assert.equal(tableAfter(null, pending, 8), null);
    });

    it("shows classes as they will be", () => {
        const forest = { ...water, number: 2, name: "Forest", position: 1 };
        const after = classesAfter([water, forest], [
            { type: "class.rename", class: 1, name: "Lake" },
            { type: "class.recolor", class: 2, color: "#00ff00" },
            { type: "class.reorder", order: [2, 1] },
            { type: "class.create", name: "New", color: "#123456" },
            { type: "class.delete", class: 1 },
        ]);
        assert.same(after.map(({ number, name, color, position, deleted }) => [number, name, color, position, deleted]), [
            [1, "Lake", "#0000ff", 1, true],
            [2, "Forest", "#00ff00", 0, false],
            [0, "New", "#123456", 2, false],
        ]);
    });

    it("shows the last area asked for", () => {
        assert.equal(aoiAfter("old", []), "old");
        assert.equal(aoiAfter("old", [{ type: "aoi.set", geometry: null }]), null);
    });

    it("tells the next edit from an old one and from a gap", () => {
        assert.equal(sequence(4, 5), "next");
        assert.equal(sequence(4, 4), "old");
        assert.equal(sequence(4, 6), "gap");
    });
});

describe("project state", () => {
    it("shows a command at once and the same after its event", () => {
        const state = loaded();
        state.addPending({ type: "leaves.assign", client_id: "a", segmentation: 8, ranges: [[0, 2]], class: 1 });
        assert.same(state.table, [1, 1, 0, 0]);
        assert.equal(state.apply(edit(5, [[0, 2, 1]], { client_id: "a" })), "next");
        assert.same(state.table, [1, 1, 0, 0]);
        assert.equal(state.pending.length, 0);
    });

    it("takes back what the server refused", () => {
        const state = loaded();
        state.addPending({ type: "leaves.assign", client_id: "a", segmentation: 8, ranges: [[0, 2]], class: 1 });
        assert.equal(state.reject("a").client_id, "a");
        assert.same(state.table, [0, 0, 0, 0]);
    });

    it("lets somebody else's earlier edit stand below one's own", () => {
        const state = loaded();
        state.addPending({ type: "leaves.assign", client_id: "a", segmentation: 8, ranges: [[1, 3]], class: 1 });
        state.apply(edit(5, [[0, 4, 2]], { client_id: "theirs" }));
        assert.same(state.table, [2, 1, 1, 2]);
    });

    it("applies nothing over a gap, and an old event only settles its command", () => {
        const state = loaded();
        assert.equal(state.apply(edit(7, [[0, 4, 1]])), "gap");
        assert.same(state.table, [0, 0, 0, 0]);
        state.addPending({ type: "leaves.assign", client_id: "a", segmentation: 8, ranges: [[0, 1]], class: 1 });
        assert.equal(state.apply(edit(4, [[0, 1, 1]], { client_id: "a" })), "old");
        assert.equal(state.pending.length, 0);
        assert.equal(state.number, 4);
    });

    it("after events equals the state fetched afresh", () => {
        const state = loaded();
        state.apply(edit(5, [[0, 3, 1]]));
        state.apply(edit(6, [[1, 2, 0]], { classes: [water, { ...water, number: 2, name: "B", position: 1 }] }));
        const fresh = new ProjectState();
        fresh.load(stateMessage({ number: 6, classes: [water, { ...water, number: 2, name: "B", position: 1 }] }), Uint8Array.of(1, 0, 1, 0));
        assert.same(state.table, fresh.table);
        assert.same(state.classes, fresh.classes);
        assert.equal(state.number, fresh.number);
    });

    it("chooses a living class when the active one goes", () => {
        const state = loaded();
        assert.equal(state.activeClass, 1);
        state.apply(edit(5, [], { classes: [{ ...water, deleted: true }, { ...water, number: 3, name: "C" }] }));
        assert.equal(state.activeClass, 3);
        state.apply(edit(6, [], { classes: [] }));
        assert.equal(state.activeClass, 0);
    });

    it("knows clusters, their class and their extent at the cut", () => {
        const state = loaded([1, 1, 0, 1]);
        state.setCut(2);
        state.setStatistics({ complete: true, pixels: Float64Array.of(1, 2, 3, 4), areaM2: Float64Array.of(10, 20, 30, 40) });
        assert.same(state.clusterOfLeaf(3), { node: 4, low: 2, high: 4, ranges: [[2, 4]] });
        assert.equal(state.clusterOfLeaf(null), null);
        assert.equal(state.classOfCluster({ node: 5 }).name, "Water");
        assert.equal(state.classOfCluster({ node: 4 }), "mixed");
        assert.same(state.extent({ node: 4 }), { value: 70, inArea: true, share: 0.7, pixels: 7 });
        assert.equal(state.classExtents().get(1).value, 70);
        assert.close(state.classExtents().get(0).share, 0.3, 1e-12);
    });

    it("forgets the tree when another segmentation is adopted", () => {
        const state = loaded();
        state.load(stateMessage({ segmentation: { id: 9 } }), null);
        assert.equal(state.tree, null);
        assert.equal(state.table, null);
        assert.equal(state.clusterOfLeaf(0), null);
    });

    it("previews a stroke and ends it without a trace", () => {
        const state = loaded();
        state.setPreview({ ranges: [[0, 2]], class: 1 });
        assert.same(state.table, [1, 1, 0, 0]);
        state.setPreview(null);
        assert.same(state.table, [0, 0, 0, 0]);
    });

    it("refuses a mode that does not exist", () => assert.throws(() => loaded().setMode("x"), /none of the modes/));
});

/** A WebSocket that tests drive by hand. */
class FakeWebSocket {
    static made = [];

    constructor(url) {
        this.url = url;
        this.sent = [];
        this.readyState = 0;
        FakeWebSocket.made.push(this);
    }

    open() {
        this.readyState = 1;
        this.onopen();
    }

    say(message) {
        this.onmessage({ data: JSON.stringify(message) });
    }

    send(text) {
        this.sent.push(JSON.parse(text));
    }

    close(code = 1000) {
        this.readyState = 3;
        this.onclose({ code });
    }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

function connected() {
    FakeWebSocket.made = [];
    const socket = new ProjectSocket("ws://test", { WebSocket: FakeWebSocket, firstDelay: 1, random: () => 0, silence: 60_000 });
    const state = new ProjectState();
    const sync = new Sync(state, socket);
    socket.connect();
    return { socket, state, sync, line: () => FakeWebSocket.made[FakeWebSocket.made.length - 1] };
}

describe("socket and sync", () => {
    const assign = { type: "leaves.assign", segmentation: 8, version: 0, ranges: [[0, 1]], class: 1 };
    const full = { ...stateMessage(), table: null };

    it("waits longer each time, between half and all of the pause", () => {
        const options = { firstDelay: 500, longestDelay: 15000 };
        assert.equal(backoff(0, { ...options, random: () => 0 }), 250);
        assert.equal(backoff(3, { ...options, random: () => 1 }), 4000);
        assert.equal(backoff(99, { ...options, random: () => 1 }), 15000);
    });

    it("sends a command once it knows where the project stands, and once only", async () => {
        const { sync, state, socket, line } = connected();
        line().open();
        sync.dispatch(assign);
        assert.equal(line().sent.length, 0);
        line().say(full);
        await turn();
        assert.equal(line().sent.length, 1);
        line().say({ type: "heartbeat", number: 4 });
        await turn();
        assert.equal(line().sent.length, 1);
        assert.equal(state.pending.length, 1);
        socket.close();
    });

    it("keeps commands over a broken line and sends them again with the same name", async () => {
        const { sync, state, socket, line } = connected();
        line().open();
        line().say(full);
        await turn();
        sync.dispatch(assign);
        const first = line().sent[0];
        line().close(1006);
        assert.equal(socket.status, "offline");
        await turn();
        assert.equal(FakeWebSocket.made.length, 2);
        line().open();
        line().say(full);
        await turn();
        assert.same(line().sent, [first]);
        line().say(edit(5, [[0, 1, 1]], { client_id: first.client_id }));
        await turn();
        assert.equal(state.pending.length, 0);
        socket.close();
    });

    it("asks for what is missing on a gap and when the heartbeat is ahead", async () => {
        const { state, socket, line } = connected();
        line().open();
        line().say(full);
        line().say(edit(6, []));
        await turn();
        assert.same(line().sent, [{ type: "edits.since", number: 4 }]);
        line().say(edit(5, []));
        line().say(edit(6, []));
        line().say({ type: "heartbeat", number: 8 });
        await turn();
        assert.equal(state.number, 6);
        assert.same(line().sent[1], { type: "edits.since", number: 6 });
        socket.close();
    });

    it("fetches the state where an edit says so, and after a stale command", async () => {
        const { sync, socket, line } = connected();
        line().open();
        line().say(full);
        line().say(edit(5, [], { reload: true }));
        await turn();
        assert.same(line().sent, [{ type: "state.fetch" }]);
        const command = sync.dispatch(assign);
        line().say({ type: "command.rejected", client_id: command.client_id, code: "stale", message: "Old." });
        await turn();
        assert.same(line().sent[2], { type: "state.fetch" });
        socket.close();
    });

    const standing = {
        type: "project.resumed", number: 6, project: { id: 1, name: "P", aoi: null, completion: { on: true, threshold: 0.5 } }, scene: { id: 1, info: {} },
        user: "u", role: "viewer", members: [], segmentations: [{ id: 8, version: 0, state: "complete", tree_ready: true }], offered: null,
        can_undo: true, can_redo: false,
    };

    it("goes on from the edit that it knows, and sends what waits once the missed ones are there", async () => {
        const { sync, state, socket, line } = connected();
        const heard = [];
        for (const event of ["loaded", "applied"]) sync.on(event, () => heard.push(event));
        assert.equal(line().url, "ws://test");
        line().open();
        line().say({ ...full, at: "2026-11-01T10:00:00+00:00" });
        await turn();
        line().say(edit(5, [], { at: "2026-11-02T10:00:00.123456+00:00" }));
        const known = sync.dispatch(assign);
        const waiting = sync.dispatch(assign);
        await turn();
        line().close(1006);
        await turn();
        assert.equal(line().url, "ws://test?since=5&at=2026-11-02T10%3A00%3A00.123456%2B00%3A00");
        line().open();
        line().say(standing);
        await turn();
        assert.equal(line().sent.length, 0);
        assert.equal(sync.isInStep, false);
        line().say(edit(6, [], { client_id: known.client_id }));
        await turn();
        assert.same(line().sent, [waiting]);
        assert.equal(sync.isInStep, true);
        assert.same([state.number, state.role, state.completion.on, state.canUndo], [6, "viewer", true, true]);
        assert.same(heard, ["loaded", "applied", "applied", "loaded"]);
        socket.close();
    });

    it("goes on at once where nothing was missed", async () => {
        const { sync, socket, line } = connected();
        line().open();
        line().say({ ...full, at: "x" });
        await turn();
        line().close(1006);
        await turn();
        line().open();
        line().say({ ...standing, number: 4 });
        await turn();
        assert.equal(sync.isInStep, true);
        socket.close();
    });

    it("asks for the whole state where what it shows is not whole", async () => {
        const { sync, socket, line } = connected();
        line().open();
        line().say({ ...full, at: "x" });
        line().say(edit(5, [], { reload: true }));
        await turn();
        line().close(1006);
        await turn();
        assert.equal(line().url, "ws://test"); // what was adopted never came
        line().open();
        line().say({ ...full, number: 5, at: "y" });
        await turn();
        sync.on("failed", () => {});
        line().say({ type: "never heard of" });
        await turn();
        line().close(1006);
        await turn();
        assert.equal(line().url, "ws://test");
        socket.close();
    });

    it("stops where the project is gone", async () => {
        const { socket, line } = connected();
        line().open();
        line().close(4404);
        await turn();
        assert.equal(socket.status, "gone");
        assert.equal(FakeWebSocket.made.length, 1);
    });

    it("gives up a line that has gone silent", async () => {
        FakeWebSocket.made = [];
        const socket = new ProjectSocket("ws://test", { WebSocket: FakeWebSocket, firstDelay: 5, random: () => 0, silence: 10 });
        socket.connect();
        FakeWebSocket.made[0].open();
        await new Promise((resolve) => {
            socket.on("status", (status) => status === "offline" && resolve());
        });
        assert.equal(FakeWebSocket.made[0].readyState, 3);
        socket.close();
    });

    it("tells of a message that nobody knows", async () => {
        const { sync, socket, line } = connected();
        const failed = new Promise((resolve) => sync.on("failed", resolve));
        line().open();
        line().say({ type: "nonsense" });
        assert((await failed).message.includes('"nonsense"'), "the type is named");
        socket.close();
    });

    it("names commands so that no two are the same", () => {
        const names = new Set(Array.from({ length: 1000 }, newClientId));
        assert.equal(names.size, 1000);
        assert([...names].every((name) => /^[0-9a-f]{32}$/.test(name)), "32 hexadecimal digits");
    });
});
