/**
 * Pages without a map: what a browser knows of a project and does to it, over lines that a test drives by hand. Runs in
 * Node and in Chromium; the modules are the page's own.
 */
import { Commands } from "../../static/js/commands.js";
import { moved } from "../../static/js/model/classes.js";
import { ProjectSocket } from "../../static/js/socket.js";
import { ProjectState } from "../../static/js/state.js";
import { Sync } from "../../static/js/sync.js";

const NEVER = 2 ** 30; // ms: the test says when a page dials again

/** A WebSocket whose other end is the test. */
class Line {
    readyState = 0;
    sent = [];

    send(text) {
        this.sent.push(text);
    }

    close() {
        this.readyState = 3;
    }
}

class Page {
    #failed = [];
    #answers = []; // [client id, "applied" | "rejected", code]
    #line = null;
    #drained = null;

    constructor(trees) {
        const open = (line) => (this.#line = line);
        class OwnLine extends Line {
            constructor(url) {
                super();
                this.url = url;
                open(this);
            }
        }
        const never = { firstDelay: NEVER, longestDelay: NEVER, silence: NEVER, random: () => 0 };
        this.socket = new ProjectSocket("ws://test", { ...never, WebSocket: OwnLine });
        this.state = new ProjectState();
        this.sync = new Sync(this.state, this.socket);
        this.commands = new Commands(this.state, this.sync);
        this.sync.on("failed", (error) => this.#failed.push(error.stack ?? String(error)));
        this.sync.on("applied", ({ event, command }) => command && this.#answers.push([event.client_id, "applied", event.number]));
        this.sync.on("rejected", ({ event }) => this.#answers.push([event.client_id, "rejected", event.code]));
        this.sync.on("comments.changed", () => this.#drained?.());
        this.sync.on("loaded", () => {
            const { state } = this;
            if (state.segmentation && !state.tree) state.setTree(trees[state.segmentation.id]);
        });
    }

    open() {
        if (this.socket.status === "offline") this.socket.wake();
        else this.socket.connect();
        this.#line.readyState = 1;
        this.#line.onopen();
    }

    close(code) {
        this.#line.readyState = 3;
        this.#line.onclose({ code });
    }

    async say(texts) {
        for (const text of texts) this.#line.onmessage({ data: text });
        // Unpacking a state takes a moment; a message that changes nothing comes out behind all others.
        const drained = new Promise((resolve) => (this.#drained = resolve));
        this.#line.onmessage({ data: '{"type": "comments.changed"}' });
        await drained;
    }

    #numbers() {
        return this.state.classes.map(({ number }) => number).filter((number) => number > 0);
    }

    /** A class of the list, from an index that may lie beyond its end; 0 without classes. */
    #pick(index) {
        const numbers = this.#numbers();
        return numbers.length ? numbers[index % numbers.length] : 0;
    }

    /** Do what `fields` ask. What only the page knows is filled in: indices of classes become numbers and so on. */
    act({ do: what, ...fields }) {
        const { state, commands } = this;
        const { id: segmentation = 0, version = 0 } = state.segmentation ?? {};
        const command = { ...fields };
        for (const name of ["class", "leaves_of"]) {
            if (typeof command[name] === "number") command[name] = this.#pick(command[name]);
            if (command[name] === 0) return;
        }
        switch (what) {
            case "undo":
                commands.undo();
                return;
            case "redo":
                commands.redo();
                return;
            case "click":
                if (!state.table || !state.tree || fields.leaf >= state.table.length) return;
                state.setActiveClass(command.class);
                commands.click(fields.leaf, fields.point, fields.reach);
                return;
            case "leaves":
                if (!state.table) return;
                this.sync.dispatch({ segmentation, version, seen: state.number, ...command });
                return;
            case "split":
                this.sync.dispatch({ segmentation, version, ...command });
                return;
            case "region":
                command.region = { segmentation, version, ...fields.region };
                break;
            case "reorder":
                command.order = moved(this.#numbers(), this.#pick(fields.index), fields.to);
                delete command.index;
                delete command.to;
                break;
            case "merge":
                command.sources = [this.#pick(fields.source)];
                delete command.source;
                break;
            case "examples":
                for (const stroke of fields.examples) if (!(stroke.class = this.#pick(stroke.class))) return;
                break;
            case "restore":
                command.number = Math.max(1, state.number - fields.back);
                delete command.back;
                break;
            case "remove":
                if (!state.clicks.length) return;
                command.targets = [state.clicks[fields.index % state.clicks.length].number];
                delete command.index;
                break;
            case "adopt":
                command.segmentation = state.segmentations.find(({ id }) => id !== segmentation)?.id ?? 0;
                break;
        }
        this.sync.dispatch(command);
    }

    look() {
        const { state } = this;
        const { overrides } = state;
        return {
            number: state.number,
            classes: state.allClasses,
            table: state.table && Array.from(state.table),
            completion: state.completion,
            project: state.project,
            aoi: state.aoi,
            splits: state.splits,
            clicks: state.clicks.map(({ number, row, col, class: classNumber, leaf }) => [number, row, col, classNumber, leaf]),
            overrides: { version: overrides.version, blocks: [0, 1].map((col) => ({ ...overrides.stateOf(0, 0, col) })) },
            can_undo: state.canUndo,
            can_redo: state.canRedo,
            role: state.role,
            members: state.members,
            segmentation: state.segmentation && { id: state.segmentation.id, version: state.segmentation.version },
            pending: state.pending.map(({ type }) => type),
        };
    }

    /** What has happened since one asked last. */
    news() {
        const news = { sent: this.#line?.sent ?? [], failed: this.#failed, answers: this.#answers, url: this.#line?.url };
        if (this.#line) this.#line.sent = [];
        this.#failed = [];
        this.#answers = [];
        return news;
    }
}

let trees = {};
let pages = [];

/** @param {object} request what to do, of which page @returns {Promise<object>} what it said and what came of it */
export async function answer({ op, page: index, ...more }) {
    if (op === "begin") {
        trees = {};
        for (const [id, tree] of Object.entries(more.trees)) {
            const arrays = { parent: Uint32Array.from(tree.parent), low: Uint32Array.from(tree.low), high: Uint32Array.from(tree.high) };
            trees[id] = { nLeaves: tree.low.length / 2 + 0.5, version: 0, ...arrays, rgb: new Uint8Array(3 * tree.low.length) };
        }
        for (const page of pages) page.socket.close();
        pages = [];
        return {};
    }
    if (op === "make") {
        pages.push(new Page(trees));
        return { page: pages.length - 1 };
    }
    const page = pages[index];
    if (op === "open") page.open();
    else if (op === "close") page.close(more.code);
    else if (op === "say") await page.say(more.texts);
    else if (op === "act") page.act(more.fields);
    else if (op !== "look") throw new Error(`Pages cannot "${op}".`);
    await null;
    return { ...page.news(), ...(op === "look" ? { look: page.look() } : {}) };
}
