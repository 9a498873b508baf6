/**
 * The project's examples on this page. They are fetched while somebody looks at them, and again after edits that may
 * have changed them; what this browser has just sent shows at once.
 *
 * Events: "change" (the list), "shown" (whether they are to be on the map).
 */
import * as api from "./api.js";
import { Emitter } from "./model/emitter.js";
import { examplesAfter, mayChangeExamples } from "./model/examples.js";
import { throttled } from "./panels/dom.js";
import { toastError } from "./toast.js";

const PAUSE = 400; // ms between two fetches while people work

export class Examples extends Emitter {
    #list = [];
    #known = -1; // number of the newest edit that the list takes in
    #open = false;

    /** @param {import("./state.js").ProjectState} state @param {import("./sync.js").Sync} sync */
    constructor(state, sync) {
        super();
        this.state = state;
        this.shown = false;
        this.refresh = throttled(() => this.#fetch().catch(toastError), PAUSE);
        sync.on("loaded", () => {
            if (state.number < this.#known) this.#known = -1; // the server has gone back, to a backup perhaps
            this.#outdated();
        });
        sync.on("applied", ({ event, command }) => {
            if (command) this.#keep(command, event.number);
            if (mayChangeExamples(event.kind)) this.#outdated();
        });
        state.on("history", () => this.emit("change")); // pending commands came or went
        state.on("classes", () => this.emit("change"));
    }

    /** All examples of live classes; null until they are known. */
    get list() {
        if (this.#known < 0) return null;
        const live = new Set(this.state.classes.map(({ number }) => number));
        return examplesAfter(this.#list, this.state.pending).filter((one) => live.has(one.class));
    }

    setShown(shown) {
        if (shown === this.shown) return;
        this.shown = shown;
        this.emit("shown", shown);
        this.#outdated();
    }

    /** Whether the panel's section is open, and wants the counts. */
    setOpen(open) {
        this.#open = open;
        this.#outdated();
    }

    #outdated() {
        if ((this.shown || this.#open) && this.state.project && this.#known < this.state.number) this.refresh();
    }

    /** What this browser sent and the server has taken stays on the map until the new list is there. */
    #keep(command, number) {
        if (this.#known < 0 || !/^examples\./.test(command.type)) return;
        this.#list = examplesAfter(this.#list, [command]).map((one) => (one.number ? one : { ...one, number }));
        this.emit("change");
    }

    async #fetch() {
        const { number, examples } = await api.get(`/api/projects/${this.state.project.id}/examples`);
        if (number < this.#known) return; // an older answer that came late
        this.#known = number;
        this.#list = examples;
        this.emit("change");
        this.#outdated(); // edits that came while it was on its way
    }
}
