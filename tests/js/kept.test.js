import { KeptCommands } from "../../static/js/kept.js";
import { Pace } from "../../static/js/model/pace.js";
import { ProjectSocket } from "../../static/js/socket.js";
import { ProjectState } from "../../static/js/state.js";
import { Sync } from "../../static/js/sync.js";
import { assert, describe, it } from "./shim.js";

class MemoryStorage {
    items = new Map();
    getItem = (key) => this.items.get(key) ?? null;
    setItem = (key, value) => void this.items.set(key, value);
    removeItem = (key) => void this.items.delete(key);
}

/** A WebSocket that tests drive by hand. */
class Line {
    static all = [];
    readyState = 0;
    sent = [];

    constructor() {
        Line.all.push(this);
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
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose({ code });
    }
}

const newest = () => Line.all[Line.all.length - 1];
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
const assign = { type: "leaves.assign", segmentation: 8, version: 0, ranges: [[0, 1]], class: 1 };
const stateOf = (user, more = {}) => ({
    type: "project.state", number: 4, project: { id: 1, name: "P", aoi: null }, scene: { id: 1, info: {} }, user, role: "editor", members: [],
    classes: [{ number: 1, name: "Water", color: "#0000ff", position: 0, deleted: false }],
    segmentation: { id: 8, version: 0, state: "complete" }, segmentations: [], table: null, offered: null, can_undo: false, can_redo: false, ...more,
});
const applied = (number, clientId) => ({ type: "edit.applied", number, changes: [], client_id: clientId, can_undo: true, can_redo: false, message: "" });

function opened(storage) {
    Line.all = [];
    const clock = { now: 0 };
    const socket = new ProjectSocket("ws://test", { WebSocket: Line, firstDelay: 60_000, random: () => 0, now: () => clock.now });
    const kept = new KeptCommands(1, () => storage);
    const state = new ProjectState();
    const sync = new Sync(state, socket, kept);
    socket.connect();
    newest().open();
    return { socket, state, sync, kept, clock };
}

describe("commands that outlive the page", () => {
    const one = { type: "edit.undo", client_id: "a" };

    it("come back for the same person and project alone", () => {
        const storage = new MemoryStorage();
        assert.equal(new KeptCommands(1, () => storage).save("ana", [one]), true);
        assert.same(new KeptCommands(1, () => storage).load("ana"), [one]);
        assert.same(new KeptCommands(1, () => storage).load("boris"), []);
        assert.same(new KeptCommands(2, () => storage).load("ana"), []);
        new KeptCommands(1, () => storage).save("ana", []);
        assert.equal(storage.items.size, 0);
    });

    it("stay in memory where storage is full or forbidden, and an older list does not come back", () => {
        const storage = new MemoryStorage();
        const kept = new KeptCommands(1, () => storage);
        kept.save("ana", [one]);
        storage.setItem = () => {
            throw new Error("QuotaExceededError");
        };
        const two = { type: "edit.redo", client_id: "b" };
        assert.equal(kept.save("ana", [one, two]), false);
        assert.same(kept.load("ana"), [one, two]);
        assert.same(new KeptCommands(1, () => storage).load("ana"), []);
        const forbidden = new KeptCommands(1, () => {
            throw new Error("SecurityError");
        });
        assert.equal(forbidden.save("ana", [one]), false);
        assert.same(forbidden.load("ana"), [one]);
        assert.same(forbidden.load("boris"), []);
    });

    it("are not made of what somebody else wrote there", () => {
        const storage = new MemoryStorage();
        const kept = new KeptCommands(1, () => storage);
        for (const text of ["{", "7", '[null, 3, {"type": "edit.undo"}]']) {
            storage.items.set("clusternet:unsaved:1:ana", text);
            assert.same(kept.load("ana"), []);
        }
    });

    it("are sent by the page's next life, once, under their old names and before newer ones", async () => {
        const storage = new MemoryStorage();
        const first = opened(storage);
        newest().say(stateOf("ana"));
        await turn();
        const { client_id: id } = first.sync.dispatch(assign);
        first.socket.close();

        const second = opened(storage);
        let restored = 0;
        second.sync.on("restored", ({ count }) => (restored = count));
        const early = second.sync.dispatch({ ...assign, ranges: [[2, 3]] }); // before the state is there
        newest().say(stateOf("ana"));
        await turn();
        assert.same(newest().sent.map((command) => command.client_id), [id, early.client_id]);
        assert.equal(restored, 1);
        newest().say(applied(3, id)); // it had arrived: told again under its old number
        newest().say(applied(5, early.client_id));
        await turn();
        assert.same([second.state.pending.length, second.state.number, storage.items.size], [0, 5, 0]);
        second.socket.close();
    });

    it("wait while somebody else is signed in, and go out when their author is back", async () => {
        const { sync, state, socket } = opened(new MemoryStorage());
        newest().say(stateOf("ana"));
        await turn();
        const { client_id: id } = sync.dispatch(assign);
        let held = null;
        sync.on("held-back", (told) => (held = told));
        for (const [user, sent] of [["boris", []], ["ana", [id]]]) {
            newest().close(1006);
            socket.wake();
            newest().open();
            newest().say(stateOf(user));
            await turn();
            assert.same(newest().sent.map((command) => command.client_id), sent);
        }
        assert.same(held, { count: 1, user: "ana" });
        assert.equal(state.pending.length, 1);
        socket.close();
    });

    it("are given up where the project is gone", async () => {
        const storage = new MemoryStorage();
        const { sync, state, socket } = opened(storage);
        newest().say(stateOf("ana"));
        await turn();
        sync.dispatch(assign);
        assert.equal(sync.dropAll(), 1);
        assert.same([state.pending.length, storage.items.size], [0, 0]);
        socket.close();
    });
});

describe("the pace of many waiting commands", () => {
    it("lets a burst go at once, then as many as the server reads", () => {
        let now = 0;
        const pace = new Pace({ perSecond: 10, burst: 3, now: () => now });
        assert.same([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 100]);
        now = 100;
        assert.same([pace.take(), pace.take()], [0, 100]);
        now = 100_000;
        assert.same([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 100]);
    });

    it("keeps their order, however many there are, and sends each once", async () => {
        const { sync, state, socket } = opened(new MemoryStorage());
        newest().say(stateOf("ana"));
        await turn();
        const names = Array.from({ length: 70 }, () => sync.dispatch(assign).client_id);
        assert.equal(newest().sent.length < 70, true);
        for (let waited = 0; newest().sent.length < 70 && waited < 500; waited++) await turn();
        assert.same(newest().sent.map((command) => command.client_id), names);
        assert.equal(state.pending.length, 70);
        socket.close();
    });
});

describe("the line", () => {
    it("counts as gone after a sleep, and is dialed at once on waking", async () => {
        const { socket, clock } = opened(new MemoryStorage());
        const told = [];
        socket.on("status", (status) => told.push(status));
        newest().say({ type: "heartbeat", number: 0 });
        clock.now = 11_000;
        socket.wake();
        assert.same([told, Line.all.length], [[], 1]);
        clock.now = 13_000;
        socket.wake();
        assert.same([told, Line.all.length, Line.all[0].readyState], [["offline"], 2, 3]);
        socket.close();
    });

    it("is let go at once where the network is lost", () => {
        const { socket } = opened(new MemoryStorage());
        socket.lost();
        assert.same([socket.status, newest().readyState, socket.send({})], ["offline", 3, false]);
        socket.close();
    });

    it("rests while signed out, until the person is back", () => {
        const { socket } = opened(new MemoryStorage());
        let refused = 0;
        socket.on("refused", () => refused++);
        newest().close(1006);
        assert.equal(refused, 0);
        socket.wake();
        newest().close(1006); // the handshake was refused
        assert.equal(refused, 1);
        socket.signedOut();
        assert.equal(socket.status, "signed-out");
        socket.wake();
        newest().open();
        assert.equal(socket.status, "online");
        socket.close();
    });

    it("keeps its pauses growing where the server takes the call and ends it at once", () => {
        Line.all = [];
        const pauses = [];
        const timer = globalThis.setTimeout;
        const socket = new ProjectSocket("ws://test", { WebSocket: Line, firstDelay: 2, longestDelay: 100, random: () => 1 });
        try {
            globalThis.setTimeout = (_, pause) => void pauses.push(pause);
            for (let round = 0; round < 4; round++) {
                socket.connect();
                newest().open();
                newest().close(1011);
            }
        } finally {
            globalThis.setTimeout = timer;
        }
        assert.same(pauses.filter((pause) => pause < 1000), [2, 4, 8, 16]);
        socket.close();
    });
});
