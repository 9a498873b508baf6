/** Fetches what was drawn by hand for the blocks on screen, and how much of it there is. */
import * as api from "./api.js";
import { blockKey } from "./model/blocks.js";
import { parseOverrideBlock, parseOverrideCounts } from "./model/overrides.js";
import { throttled } from "./panels/dom.js";

const AT_ONCE = 6; // requests: imagery tiles need the line too
const RETRY = 3000; // ms after a failure
const COUNTS_PAUSE = 400; // ms between two fetches of the counts

export class OverrideLoader {
    #fetching = new Map(); // key -> version
    #retry = 0;
    #frame = 0;
    #counting = 0; // fetches of the counts that are on their way or to come

    /**
     * @param {import("./layers/ClusterLayer.js").ClusterLayer} layer
     * @param {import("./state.js").ProjectState} state
     * @param {(error: Error) => void} onError
     */
    constructor(layer, state, onError) {
        Object.assign(this, { layer, state, onError });
        for (const event of ["view", "blocks"]) layer.on(event, () => this.#soon());
        state.on("overrides", () => {
            this.#soon();
            this.count();
        });
        // Another state of the map was drawn on otherwise, and its versions mean other pixels.
        state.on("viewed", () => {
            for (const { level, row, col } of layer.store.all()) layer.dropOverride(level, row, col);
            this.#soon();
            this.count();
        });
        // Their counts are by leaf, inside the area: those of another segmentation, or another area, are others.
        for (const event of ["statistics", "aoi"]) state.on(event, () => this.count());
        this.#fetchCounts = throttled(() => this.#count(), COUNTS_PAUSE);
        this.#soon();
        this.count();
    }

    #fetchCounts;

    #soon() {
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#look();
        });
    }

    /** Blocks on screen that are not as they should be. */
    #outdated() {
        const { store } = this.layer;
        const index = this.state.overrides;
        return this.layer
            .blocksInView()
            .map(({ level, row, col }) => ({ level, row, col, ...index.stateOf(level, row, col) }))
            .filter(({ level, row, col, version, drawn }) => (drawn ? store.versionOf(level, row, col) < version : store.versionOf(level, row, col) > 0));
    }

    #look() {
        for (const { level, row, col, version, drawn } of this.#outdated()) {
            const key = blockKey(level, row, col);
            if (!drawn) this.layer.dropOverride(level, row, col);
            else if ((this.#fetching.get(key) ?? -1) < version && this.#fetching.size < AT_ONCE && !this.#retry) {
                this.#fetching.set(key, version);
                this.#fetch(key, level, row, col, version);
            }
        }
    }

    async #fetch(key, level, row, col, version) {
        const { viewed } = this.state;
        try {
            const then = viewed ? `&state=${viewed.number}` : "";
            const path = `/api/projects/${this.state.project.id}/overrides/${level}/${row}/${col}?v=${version}${then}`;
            const response = await api.fetchOk("GET", path);
            const block = parseOverrideBlock(await response.arrayBuffer());
            // Somebody may have gone on drawing, or have taken it all back, while it was on its way.
            const now = this.state.overrides.stateOf(level, row, col);
            if (this.state.viewed === viewed && now.drawn && block.version >= this.layer.store.versionOf(level, row, col)) {
                this.layer.putOverride(level, row, col, block.version, block.values);
            }
        } catch (error) {
            if (!this.#retry) this.onError(error);
            this.#retry ||= setTimeout(() => {
                this.#retry = 0;
                this.#soon();
            }, RETRY);
        } finally {
            if (this.#fetching.get(key) === version) this.#fetching.delete(key);
            this.#soon();
        }
    }

    // ---- counts --------------------------------------------------------------------------------------------------

    count() {
        const { state } = this;
        if (!state.segmentation?.tree_ready || (state.overrides.isEmpty && !state.overrideCounts)) return;
        this.#counting++;
        this.#fetchCounts();
    }

    async #count() {
        const asked = this.#counting;
        const { viewed } = this.state;
        try {
            const then = viewed ? `?state=${viewed.number}` : "";
            const response = await api.fetchOk("GET", `/api/projects/${this.state.project.id}/overrides/statistics${then}`);
            const counts = parseOverrideCounts(await response.arrayBuffer());
            if (this.state.viewed === viewed) this.state.setOverrideCounts(counts);
        } catch (error) {
            this.onError(error); // the next edit or statistics ask again
        } finally {
            if (this.#counting === asked) this.#counting = 0;
        }
    }

    /** Resolves once the screen shows all that was drawn. */
    async whenIdle() {
        do await new Promise(requestAnimationFrame);
        while (!this.isIdle);
    }

    /** Whether the screen shows all that was drawn. */
    get isIdle() {
        return !this.#frame && !this.#fetching.size && !this.#outdated().length;
    }
}
