/** The project's edits, newest first: a page of them from the server, then those that come in. */
import * as api from "./api.js";
import { entryOf, joined, turned } from "./model/edits.js";
import { Emitter } from "./model/emitter.js";

const PAGE = 30;
const MOST = 600; // kept; older ones come again when asked for

/** Emits "change" and "failed" (Error). */
export class RecentEdits extends Emitter {
    list = [];
    hasMore = false;
    isLoading = false;
    #loaded = false; // whether the list goes on without a gap up to the newest
    #wanted = false; // whether anybody looks
    #stale = false; // whether the state was taken over anew since the newest edits were asked for

    /** @param {import("./state.js").ProjectState} state @param {import("./sync.js").Sync} sync */
    constructor(state, sync) {
        super();
        this.state = state;
        sync.on("applied", ({ event }) => this.#take(event));
        // After a break edits may be missing, and what is live may be other edits.
        sync.on("loaded", () => {
            this.#loaded = false;
            this.#stale = true;
            if (this.#wanted) this.#load(null);
        });
    }

    /** From now on somebody looks at the list. */
    want() {
        this.#wanted = true;
        if (!this.#loaded && this.state.project) this.#load(null);
    }

    /** Nobody looks any more: nothing is fetched. */
    leave() {
        this.#wanted = false;
    }

    loadOlder() {
        if (this.hasMore && this.list.length) this.#load(this.list.at(-1).number);
    }

    #take(event) {
        if (!this.#loaded) return;
        if (event.number <= (this.list[0]?.number ?? 0)) return; // a repeat
        this.list = joined(turned(this.list, event.died, event.revived), [entryOf(event)]).slice(0, MOST);
        this.hasMore ||= this.list.at(-1).number > 1;
        this.emit("change");
    }

    async #load(before) {
        if (this.isLoading) return;
        this.isLoading = true;
        if (!before) this.#stale = false;
        this.emit("change");
        let again = false;
        try {
            const query = before ? `&before=${before}` : "";
            const page = await api.get(`/api/projects/${this.state.project.id}/edits?limit=${PAGE}${query}`);
            // What came in meanwhile may be newer than the page, or be missing: then it is asked for once more.
            again = this.#stale || (!before && page.number < this.state.number);
            this.list = before ? joined(this.list, page.edits) : page.edits;
            this.hasMore = page.more;
            if (again || !before) this.#loaded = !again;
        } catch (error) {
            this.emit("failed", error);
        } finally {
            this.isLoading = false;
            this.emit("change");
        }
        if (again && this.#wanted) this.#load(null);
    }
}
