/** Looking at the map as it was, or at what changed between two states of it: read-only, in place of now. */
import * as api from "./api.js";
import { inflate } from "./model/blocks.js";
import { Emitter } from "./model/emitter.js";
import { OverrideIndex } from "./model/overrides.js";
import { extendTable } from "./model/splits.js";

const GONE = 255; // stands for "no class any more"; classes have numbers up to 250

const READ_ONLY = "You are looking at an earlier state of the map. Go back to now to change it, or restore it.";

/** A state as `ProjectState.viewed` has it. */
export class Viewed {
    #withSplits = null;
    #splits = null;

    /**
     * @param {object} fields `number`, `at`, `user`, `classes`, `aoi`, `exact`, `overrides`, and `comparison` where two states
     *     are compared
     * @param {Uint8Array} table class that each leaf shows
     */
    constructor(fields, table) {
        Object.assign(this, fields);
        this.base = table;
    }

    /** Somebody may split leaves while one is looking: children show as their parent does. */
    tableWith(splits) {
        if (this.#splits !== splits) {
            this.#splits = splits;
            this.#withSplits = extendTable(this.base, splits);
        }
        return this.#withSplits;
    }
}

async function readTable(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Uint8Array(await inflate(bytes, "deflate"));
}

/** Emits "change" (something else is looked at) and "busy" (boolean). */
export class Viewing extends Emitter {
    #turn = 0; // an answer that was overtaken is dropped

    /**
     * @param {import("./state.js").ProjectState} state
     * @param {import("./sync.js").Sync} sync
     * @param {import("./commands.js").Commands} commands
     */
    constructor(state, sync, commands) {
        super();
        Object.assign(this, { state, sync, commands });
        this.asked = null; // number of the state on its way
        const allowed = ["state.restore"];
        const before = sync.refusal;
        sync.refusal = (fields) => before?.(fields) || (state.viewed && !allowed.includes(fields.type) ? READ_ONLY : "");
        // Another segmentation has other leaves: what is looked at would mean nothing on them.
        let segmentation = null;
        state.on("state", () => {
            const now = state.segmentation?.id ?? null;
            if (state.viewed && now !== segmentation) this.leave();
            segmentation = now;
        });
        sync.on("applied", ({ event, command }) => {
            if (command?.type === "state.restore" && event.kind === "state.restore") this.leave();
        });
    }

    /** Show the map as it was right after edit `number`. */
    async show(number) {
        const body = await this.#ask(number, `/api/projects/${this.state.project.id}/states/${number}`);
        if (!body) return;
        const overrides = new OverrideIndex(body.overrides);
        this.#set(new Viewed({ ...body, overrides }, await readTable(body.table)));
    }

    /**
     * Show what changed between two states, as the later one has it.
     * @param {number} before
     * @param {number | null} after null: now
     * @returns {Promise<object | null>} the comparison of docs/protocol.md; null where something else was asked for meanwhile
     */
    async compare(before, after) {
        const query = after === null ? "" : `&after=${after}`;
        return this.#ask(null, `/api/projects/${this.state.project.id}/comparison?before=${before}${query}`);
    }

    /** Light up the leaves that a comparison found changed, in the classes that they have in the later state. */
    async showChanges(comparison) {
        const { number } = comparison.after;
        const body = await this.#ask(number, `/api/projects/${this.state.project.id}/states/${number}`);
        if (!body) return;
        const table = await readTable(body.table);
        const changed = new Uint8Array(table.length);
        for (const [low, high] of comparison.leaves) {
            for (let leaf = low; leaf < Math.min(high, table.length); leaf++) changed[leaf] = table[leaf] || GONE;
        }
        const gone = { number: GONE, name: "No class any more", color: "#ffffff", position: GONE, deleted: false };
        const classes = changed.includes(GONE) ? [...body.classes, gone] : body.classes;
        // What was drawn is told by boxes around it: it would hide which leaves have changed.
        this.#set(new Viewed({ ...body, classes, comparison, overrides: new OverrideIndex() }, changed));
    }

    async #ask(number, path) {
        const turn = ++this.#turn;
        this.asked = number;
        this.emit("busy", true);
        try {
            const body = await api.get(path);
            return turn === this.#turn ? body : null;
        } finally {
            if (turn === this.#turn) {
                this.asked = null;
                this.emit("busy", false);
            }
        }
    }

    #set(viewed) {
        this.state.setViewed(viewed);
        this.emit("change", viewed);
    }

    /** Back to now. @returns {boolean} whether anything else was looked at */
    leave() {
        this.#turn++;
        if (this.asked !== null) {
            this.asked = null;
            this.emit("busy", false);
        }
        if (!this.state.viewed) return false;
        this.#set(null);
        return true;
    }

    restore() {
        if (this.state.viewed) this.commands.restore(this.state.viewed.number);
    }
}
