/**
 * Everything the page knows about the project: what the server confirmed, what is pending, the tree, and what this
 * browser alone decides (cut, mode, active class). Emits changes; knows no DOM, GL or network.
 *
 * Events: "state" (all anew), "classes", "table" (class of leaves), "clusters" (cut or tree), "mode", "active", "aoi",
 * "project", "segmentations", "progress", "statistics", "history" (undo, redo, pending).
 */
import { prefixSums, rangeTotal, totalsByClass } from "./model/areas.js";
import { liveClasses } from "./model/classes.js";
import { Emitter } from "./model/emitter.js";
import { aoiAfter, classesAfter, sequence, tableAfter } from "./model/history.js";
import { paletteOf } from "./model/lookup.js";
import { valueOver, withChanges } from "./model/ranges.js";
import { clampCut, clusterOfLeaves } from "./model/tree.js";

export const DEFAULT_CUT = 40;
export const MAX_CUT = 4096;
export const MODES = ["clusters", "classes", "outlines"];

export class ProjectState extends Emitter {
    number = 0;
    project = null;
    scene = null;
    user = "";
    segmentation = null;
    segmentations = [];
    offered = null;
    canUndo = false;
    canRedo = false;
    pending = [];
    preview = null; // {ranges, class}: a stroke that is still being painted
    tree = null;
    clusterOf = null;
    statistics = null;
    cut = DEFAULT_CUT;
    mode = "clusters";
    activeClass = 0;
    #classes = [];
    #table = null;
    #shownTable = null;

    // ---- what the server says ------------------------------------------------------------------------------------

    /**
     * Take over a whole state.
     * @param {object} message project.state
     * @param {Uint8Array | null} table its class table, unpacked
     */
    load(message, table) {
        const changedTree = message.segmentation?.id !== this.segmentation?.id;
        this.number = message.number;
        this.project = message.project;
        this.scene = message.scene;
        this.user = message.user;
        this.segmentation = message.segmentation;
        this.segmentations = message.segmentations;
        this.offered = message.offered;
        this.canUndo = message.can_undo;
        this.canRedo = message.can_redo;
        this.#classes = message.classes;
        this.#table = table;
        this.#shownTable = null;
        if (changedTree) {
            this.tree = null;
            this.clusterOf = null;
            this.statistics = null;
        }
        this.#keepActiveClass();
        for (const event of ["state", "classes", "table", "aoi", "project", "segmentations", "history"]) this.emit(event);
    }

    /**
     * Apply one edit.
     * @returns {"next" | "old" | "gap"} what was done: applied, known already, or nothing because edits are missing
     */
    apply(event) {
        const order = sequence(this.number, event.number);
        if (order === "gap") return order;
        const settled = this.#settle(event.client_id);
        if (order === "old") {
            if (settled) this.#emitFor([settled]);
            return order;
        }
        this.number = event.number;
        this.canUndo = event.can_undo;
        this.canRedo = event.can_redo;
        if (event.changes?.length && this.#table) this.#table = withChanges(this.#table, event.changes);
        if (event.classes) this.#classes = event.classes;
        if (event.project) this.project = { ...this.project, ...event.project };
        this.#shownTable = null;
        this.#keepActiveClass();
        if (event.classes || settled?.type.startsWith("class.")) this.emit("classes");
        if (event.changes?.length || event.classes || settled) this.emit("table");
        if (event.project || settled?.type === "aoi.set") {
            this.emit("project");
            this.emit("aoi");
        }
        this.emit("history");
        return order;
    }

    /** The server refused a command: what it would have done is shown no more. */
    reject(clientId) {
        const command = this.#settle(clientId);
        if (command) this.#emitFor([command]);
        return command;
    }

    setSegmentations(segmentations, offered) {
        this.segmentations = segmentations;
        this.offered = offered;
        this.segmentation = segmentations.find(({ id }) => id === this.segmentation?.id) ?? this.segmentation;
        this.emit("segmentations");
    }

    setProgress({ segmentation, state, stage, progress, message, left_s: leftS }) {
        const update = (one) => (one?.id === segmentation ? { ...one, state, stage, progress, message, leftS } : one);
        this.segmentations = this.segmentations.map(update);
        this.segmentation = update(this.segmentation);
        this.emit("progress");
    }

    setTree(tree) {
        this.tree = tree;
        this.cut = clampCut(tree, this.cut);
        this.clusterOf = clusterOfLeaves(tree, this.cut);
        this.emit("clusters");
    }

    setStatistics(statistics) {
        const values = statistics.areaM2 ?? statistics.pixels;
        this.statistics = {
            ...statistics,
            values,
            inArea: statistics.areaM2 !== null, // m², else pixels
            pixelSums: prefixSums(statistics.pixels),
            valueSums: prefixSums(values),
        };
        this.emit("statistics");
    }

    // ---- what this browser sends ---------------------------------------------------------------------------------

    /** Show a command as if it had been done already. */
    addPending(command) {
        this.pending.push(command);
        this.#emitFor([command]);
    }

    /** Show leaves as if they had a class; null ends it. */
    setPreview(preview) {
        if (!preview && !this.preview) return;
        this.preview = preview;
        this.#shownTable = null;
        this.emit("table");
    }

    #settle(clientId) {
        const index = clientId ? this.pending.findIndex((command) => command.client_id === clientId) : -1;
        if (index < 0) return null;
        this.#shownTable = null;
        return this.pending.splice(index, 1)[0];
    }

    #emitFor(commands) {
        const types = commands.map(({ type }) => type);
        this.#shownTable = null;
        this.#keepActiveClass();
        if (types.some((type) => type.startsWith("class."))) this.emit("classes");
        if (types.some((type) => type.startsWith("leaves.") || type.startsWith("class."))) this.emit("table");
        if (types.includes("aoi.set")) this.emit("aoi");
        this.emit("history");
    }

    // ---- what is shown -------------------------------------------------------------------------------------------

    /** All classes, pending changes included. */
    get allClasses() {
        return classesAfter(this.#classes, this.pending);
    }

    /** Live classes in order; one that waits for the server has number 0. */
    get classes() {
        return liveClasses(this.allClasses);
    }

    get palette() {
        return paletteOf(this.allClasses.filter((label) => label.number));
    }

    /** Class of each leaf, 0 = none; null without a segmentation. */
    get table() {
        const preview = this.preview
            ? [{ ...this.preview, type: "leaves.assign", segmentation: this.segmentation?.id }]
            : [];
        this.#shownTable ??= tableAfter(this.#table, [...this.pending, ...preview], this.segmentation?.id);
        return this.#shownTable;
    }

    get aoi() {
        return aoiAfter(this.project?.aoi ?? null, this.pending);
    }

    classOf(number) {
        return this.classes.find((label) => label.number === number && number > 0) ?? null;
    }

    /** @returns {{node: number, low: number, high: number} | null} */
    clusterOfLeaf(leaf) {
        if (leaf === null || !this.clusterOf || leaf >= this.clusterOf.length) return null;
        const node = this.clusterOf[leaf];
        return { node, low: this.tree.low[node], high: this.tree.high[node] };
    }

    /** The class that the whole cluster has: a class, null where it has none, or "mixed". */
    classOfCluster({ low, high }) {
        if (!this.table) return null;
        const number = valueOver(this.table, low, high);
        return number === null ? "mixed" : this.classOf(number);
    }

    /** Area (m², or pixels without CRS) and share of leaves [low, high). */
    extent({ low, high }) {
        if (!this.statistics) return null;
        const { valueSums, pixelSums, inArea } = this.statistics;
        const total = valueSums[valueSums.length - 1];
        const value = rangeTotal(valueSums, low, high);
        return { value, inArea, share: total ? value / total : NaN, pixels: rangeTotal(pixelSums, low, high) };
    }

    /** Area and share of every class, number 0 standing for "unlabelled". */
    classExtents() {
        if (!this.statistics || this.statistics.values.length !== (this.table?.length ?? 0)) return null;
        const totals = totalsByClass(this.statistics.values, this.table, this.palette);
        const sum = this.statistics.valueSums[this.statistics.values.length];
        const { inArea } = this.statistics;
        return new Map([...totals].map(([number, value]) => [number, { value, inArea, share: sum ? value / sum : NaN }]));
    }

    /** Whether any leaf has this class: deleting it would hide work. */
    hasAssignments(number) {
        return this.table?.includes(number) ?? false;
    }

    // ---- what this browser decides -------------------------------------------------------------------------------

    get maxCut() {
        return Math.min(this.tree?.nLeaves ?? MAX_CUT, MAX_CUT);
    }

    setCut(cut) {
        const next = this.tree ? clampCut(this.tree, cut) : Math.max(2, Math.round(cut));
        if (next === this.cut) return;
        this.cut = next;
        if (this.tree) this.clusterOf = clusterOfLeaves(this.tree, next);
        this.emit("clusters");
    }

    setMode(mode) {
        if (!MODES.includes(mode)) throw new Error(`"${mode}" is none of the modes ${MODES.join(", ")}.`);
        if (mode === this.mode) return;
        this.mode = mode;
        this.emit("mode");
    }

    setActiveClass(number) {
        if (number === this.activeClass) return;
        this.activeClass = number;
        this.emit("active");
    }

    #keepActiveClass() {
        if (this.classOf(this.activeClass)) return;
        this.setActiveClass(this.classes.find((label) => label.number)?.number ?? 0);
    }
}
