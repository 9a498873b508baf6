/** The notes of the project, as the server has them. */
import * as api from "./api.js";
import { Emitter } from "./model/emitter.js";
import { threadsOf } from "./model/comments.js";

/** Emits "change" and "failed" (Error). */
export class Comments extends Emitter {
    threads = [];
    #asked = 0; // an answer that was overtaken is dropped

    /** @param {import("./state.js").ProjectState} state @param {import("./sync.js").Sync} sync */
    constructor(state, sync) {
        super();
        this.state = state;
        sync.on("comments.changed", () => this.refresh());
        sync.on("loaded", () => this.refresh()); // hints may have been lost with the line
    }

    get #path() {
        return `/api/projects/${this.state.project.id}/comments`;
    }

    async refresh() {
        const turn = ++this.#asked;
        try {
            const list = await api.get(this.#path);
            if (turn !== this.#asked) return;
            this.threads = threadsOf(list);
            this.emit("change");
        } catch (error) {
            if (turn === this.#asked) this.emit("failed", error);
        }
    }

    threadOf(id) {
        return this.threads.find((thread) => thread.id === id) ?? null;
    }

    /** @param {number[]} place [row, col] */
    async pin(place, text) {
        const [row, col] = place;
        return this.#after(api.post(this.#path, { row, col, text }));
    }

    async answer(parent, text) {
        return this.#after(api.post(this.#path, { parent, text }));
    }

    async change(id, fields) {
        return this.#after(api.patch(`${this.#path}/${id}`, fields));
    }

    async remove(id) {
        return this.#after(api.del(`${this.#path}/${id}`));
    }

    async #after(request) {
        const answer = await request;
        await this.refresh();
        return answer;
    }
}
