/**
 * Everything the page knows about the project: what the server confirmed, what is pending, the tree, and what this
 * browser alone decides (cut, mode, active class). Emits changes; knows no DOM, GL or network.
 *
 * Events: "state" (all anew), "classes", "table" (class of leaves), "clusters" (cut or tree), "mode", "active", "aoi",
 * "project", "members" (who takes part, and one's own role), "segmentations", "progress", "statistics", "history" (undo, redo, pending), "completion" (settings of the
 * completed map), "prediction" (the decoder's table), "splits" (which leaves there are), "split" (one being tried out), "overrides" (what
 * was drawn by hand), "counts" (how much of it there is).
 */
import { extentsByClass, withSums } from "./model/areas.js";
import { liveClasses } from "./model/classes.js";
import { Clusters } from "./model/clusters.js";
import { classOfLeaf, completedTable, DEFAULT_COMPLETION, fitted } from "./model/completion.js";
import { Emitter } from "./model/emitter.js";
import { aoiAfter, classesAfter, completionAfter, eventsFor, sequence, tableAfter } from "./model/history.js";
import { paletteOf } from "./model/lookup.js";
import { besideOverrides, countsFor, NO_OVERRIDES, OverrideIndex, shownClasses } from "./model/overrides.js";
import { withChanges } from "./model/ranges.js";
import { clicksAfter, extendTable, NO_SPLITS, painted, splitsAfter } from "./model/splits.js";
import { clampCut } from "./model/tree.js";

export const DEFAULT_CUT = 40;
export const MAX_CUT = 4096;
export const MODES = ["clusters", "classes", "outlines", "certainty"];

export class ProjectState extends Emitter {
    number = 0;
    at = ""; // when that edit was recorded
    project = null;
    scene = null;
    user = "";
    role = ""; // "viewer", "editor" or "owner"
    members = []; // [{id, name, color, role}]
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
    #completedTable = null;
    #completion = DEFAULT_COMPLETION;
    #thresholdPreview = null; // while the slider is being dragged
    #prediction = null;
    #baseTree = null;
    clusters = null; // of the cut, once the tree is there
    #splits = NO_SPLITS;
    #clicks = [];
    #ownClicks = new Map(); // client id of a command that waits -> its click
    #overrides = new OverrideIndex(); // which blocks were drawn on by hand
    overrideCounts = null; // of their pixels by leaf
    viewed = null; // an earlier state that is looked at
    splitPreview = null; // {parts: ranges of each, trial: {leaf, first, n} or null}: a split that is being tried out

    // ---- what the server says ------------------------------------------------------------------------------------

    /**
     * Take over a whole state.
     * @param {object} message project.state
     * @param {Uint8Array | null} table its class table, unpacked
     */
    load(message, table) {
        const changedTree = message.segmentation?.id !== this.segmentation?.id;
        this.number = message.number;
        this.at = message.at ?? "";
        this.#takeStanding(message);
        this.segmentation = message.segmentation;
        this.#classes = message.classes;
        this.#table = table;
        this.#completion = message.completion ?? DEFAULT_COMPLETION;
        this.#clicks = clicksAfter([], { all: message.clicks ?? [] });
        this.#overrides = new OverrideIndex(message.overrides ?? NO_OVERRIDES);
        const changedSplits = this.#takeSplits(
            message.splits ?? { ...NO_SPLITS, version: message.segmentation?.version ?? 0 },
        );
        this.#forgetTables();
        if (changedTree) {
            this.tree = null;
            this.#baseTree = null;
            this.clusters = null;
            this.clusterOf = null;
            this.statistics = null;
        }
        this.#refine();
        this.#keepActiveClass();
        const events = ["state", "classes", "table", "aoi", "project", "segmentations", "completion", "prediction", "history"];
        for (const event of [...events, "overrides"]) this.emit(event);
        if (changedSplits) this.emit("splits");
        if (this.tree) this.emit("clusters");
        this.emit("members");
    }

    /**
     * Take over what stands beside the edits, which are known up to `number`; those that were missed follow.
     * @param {object} message project.resumed
     */
    resume(message) {
        this.#takeStanding(message);
        this.#completion = message.project.completion ?? this.#completion;
        this.#forgetTables();
        for (const event of ["aoi", "project", "completion", "history"]) this.emit(event);
        this.setSegmentations(message.segmentations, message.offered);
        this.emit("members");
    }

    #takeStanding({ project, scene, user, role, members, segmentations, offered, can_undo: canUndo, can_redo: canRedo }) {
        Object.assign(this, { project, scene, user, role, members, segmentations, offered, canUndo, canRedo });
    }

    /** Somebody joined, left, or has another role; one's own role comes with a whole state. */
    setMembers(members) {
        this.members = members;
        this.emit("members");
    }

    /** @returns {boolean} whether other leaves are there now */
    #takeSplits(splits) {
        const changed = splits.version !== this.#splits.version;
        this.#splits = splits;
        if (this.segmentation) this.segmentation = { ...this.segmentation, version: splits.version };
        return changed;
    }

    /** Cut the tree anew, with the splits that hold. */
    #refine() {
        if (!this.#baseTree) return;
        this.clusters = new Clusters(this.#baseTree, this.splits, this.cut);
        this.tree = this.clusters.tree;
        this.clusterOf = this.clusters.of;
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
        this.at = event.at ?? "";
        this.canUndo = event.can_undo;
        this.canRedo = event.can_redo;
        const changedSplits = event.splits ? this.#takeSplits(event.splits) : false;
        if (this.#table) {
            this.#table = extendTable(this.#table, this.#splits);
            // Whoever gives a class to leaves gives it to their children too; other edits name each of them.
            const isAssignment = event.kind?.startsWith("leaves.");
            const apply = (changes) =>
                isAssignment ? painted(this.#table, changes, this.#splits) : withChanges(this.#table, changes);
            if (event.changes?.length) this.#table = apply(event.changes);
        }
        this.#clicks = clicksAfter(this.#clicks, event.clicks);
        if (event.splits || settled?.type === "cluster.split") this.#refine();
        if (event.classes) this.#classes = event.classes;
        if (event.overrides) this.#overrides = this.#overrides.after(event.overrides);
        if (event.project) this.project = { ...this.project, ...event.project };
        if (event.project?.completion) this.#completion = event.project.completion;
        this.#forgetTables();
        this.#keepActiveClass();
        if (event.classes || settled?.type.startsWith("class.")) this.emit("classes");
        if (event.changes?.length || event.classes || settled) this.emit("table");
        if (event.project || settled?.type === "aoi.set") {
            this.emit("project");
            this.emit("aoi");
        }
        if (event.project?.completion || settled?.type === "completion.set") this.emit("completion");
        if (event.overrides) this.emit("overrides");
        if (changedSplits) this.emit("splits");
        if (event.splits || settled?.type === "cluster.split") this.emit("clusters");
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
        this.#completedTable = null; // its version may be another one, which the prediction is for or not
        this.emit("segmentations");
    }

    setProgress({ segmentation, state, stage, progress, message, left_s: leftS, training = null }) {
        const told = { state, stage, progress, message, leftS, training };
        const update = (one) => (one?.id === segmentation ? { ...one, ...told } : one);
        this.segmentations = this.segmentations.map(update);
        this.segmentation = update(this.segmentation);
        this.emit("progress");
    }

    setTree(tree) {
        this.#baseTree = tree;
        this.cut = clampCut(tree, this.cut);
        this.#refine();
        this.emit("clusters");
    }

    /**
     * Take in the decoder's newest table. One for leaves that are not here yet (its state is on the way) waits.
     * @returns {boolean} false where it is older than what is here
     */
    setPrediction(prediction) {
        if (this.#prediction && prediction.number < this.#prediction.number) return false;
        this.#prediction = prediction;
        this.#completedTable = null;
        this.emit("prediction");
        return true;
    }

    setStatistics(statistics) {
        this.statistics = withSums(statistics);
        this.emit("statistics");
    }

    /** @param {object} counts as parseOverrideCounts gives them */
    setOverrideCounts(counts) {
        this.overrideCounts = counts;
        this.emit("counts");
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
        this.#forgetTables();
        this.emit("table");
    }

    /** Show the completed map at another threshold while a hand is on the slider; null ends it. */
    setThresholdPreview(threshold) {
        if (threshold === this.#thresholdPreview) return;
        this.#thresholdPreview = threshold;
        this.#completedTable = null;
        this.emit("completion");
    }

    #forgetTables() {
        this.#shownTable = null;
        this.#completedTable = null;
    }

    #settle(clientId) {
        const index = clientId ? this.pending.findIndex((command) => command.client_id === clientId) : -1;
        if (index < 0) return null;
        this.#forgetTables();
        this.#ownClicks.delete(clientId);
        return this.pending.splice(index, 1)[0];
    }

    #emitFor(commands) {
        this.#forgetTables();
        this.#keepActiveClass();
        if (commands.some(({ type }) => type === "cluster.split")) this.#refine();
        for (const event of eventsFor(commands)) this.emit(event);
    }

    // ---- what is shown -------------------------------------------------------------------------------------------

    /** All classes, pending changes included. */
    get allClasses() {
        return this.viewed?.classes ?? classesAfter(this.#classes, this.pending);
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
        if (this.viewed) return this.viewed.tableWith(this.#splits);
        const preview = this.preview
            ? [{ ...this.preview, type: "leaves.assign", segmentation: this.segmentation?.id }]
            : [];
        const commands = [...this.pending, ...preview];
        this.#shownTable ??= tableAfter(this.#table, commands, this.segmentation?.id, this.#splits);
        return this.#shownTable;
    }

    /** @returns {{on: boolean, threshold: number}} shared by all members; pending changes and the slider included */
    get completion() {
        const settings = completionAfter(this.#completion, this.pending);
        return this.#thresholdPreview === null ? settings : { ...settings, threshold: this.#thresholdPreview };
    }

    /** The decoder's table for the leaves that are shown, or null. */
    get prediction() {
        return this.viewed ? null : this.#prediction && fitted(this.#prediction, this.segmentation, this.#table, this.#splits);
    }

    /** Class that each leaf shows: its own, or the decoder's where the map is completed; null without a segmentation. */
    get completedTable() {
        if (this.viewed) return this.table; // what was predicted then is in it
        this.#completedTable ??= completedTable(this.table, this.prediction, this.completion, this.palette);
        return this.#completedTable;
    }

    /** @returns {{class: number, source: "assigned" | "predicted" | null, certainty: number} | null} */
    classOfLeaf(leaf) {
        if (leaf === null || !this.table || leaf >= this.table.length) return null;
        return classOfLeaf(leaf, this.table, this.completedTable, this.prediction, this.palette);
    }

    /** Class that each value that was drawn shows as, 0 where it does not. */
    get shownClasses() {
        return shownClasses(this.allClasses);
    }

    /** As classOfLeaf, with `value` of the overrides, which lie over it; their `source` is "override". */
    classOfPixel(leaf, value) {
        const drawn = leaf === null ? 0 : this.shownClasses[value];
        return drawn ? { class: drawn, source: "override", certainty: 1 } : this.classOfLeaf(leaf);
    }

    get overrides() {
        return this.viewed?.overrides ?? this.#overrides;
    }

    get aoi() {
        return this.viewed ? this.viewed.aoi : aoiAfter(this.project?.aoi ?? null, this.pending);
    }

    classOf(number) {
        return this.classes.find((label) => label.number === number && number > 0) ?? null;
    }

    /** @returns {{node: number, low: number, high: number, ranges: number[][]} | null} */
    clusterOfLeaf(leaf) {
        const { leaf: whole, first, n } = this.splitPreview?.trial ?? {};
        return this.clusters?.at(leaf !== null && leaf >= first && leaf < first + n ? whole : leaf) ?? null;
    }

    /** Leaves and clusters that were split, pending commands included. */
    get splits() {
        return splitsAfter(this.#splits, this.pending, this.segmentation?.id);
    }

    /** Clicks that are examples still, and those that wait for the server. */
    get clicks() {
        return [...this.#clicks.filter((click) => this.classOf(click.class)), ...this.#ownClicks.values()];
    }

    rememberClick(clientId, click) {
        this.#ownClicks.set(clientId, click);
    }

    /** What a click of the active class stands for: see `meantBy`. */
    meantBy(leaf, point, reach) {
        return this.clusters.meantBy({ leaf, point, reach, class: this.activeClass }, this.clicks, this.table);
    }

    /** Show an earlier state (see viewing.js) in place of now; null ends it. */
    setViewed(viewed) {
        this.viewed = viewed;
        this.overrideCounts = null;
        this.#forgetTables();
        this.#keepActiveClass();
        for (const event of ["classes", "table", "aoi", "prediction", "overrides", "viewed"]) this.emit(event);
    }

    /** Show a split before it is made; null ends it. */
    setSplitPreview(preview) {
        this.splitPreview = preview;
        this.emit("split");
    }

    /** The class that the whole cluster shows: a class, null where it has none, or "mixed". */
    classOfCluster({ node }) {
        if (!this.completedTable || !this.clusters) return null;
        const number = this.clusters.valueOf(this.completedTable, node);
        return number === null ? "mixed" : this.classOf(number);
    }

    /** Area (m², or pixels without CRS) and share of a cluster. */
    extent({ node }) {
        if (!this.statistics) return null;
        const { values, pixels, valueSums, inArea } = this.statistics;
        const total = valueSums[valueSums.length - 1];
        const value = this.clusters.sumOf(values, node);
        return { value, inArea, share: total ? value / total : NaN, pixels: this.clusters.sumOf(pixels, node) };
    }

    /** Area and share of every class, `predicted` of it by the decoder; number 0 stands for "unlabelled". */
    classExtents() {
        if (!this.statistics || this.statistics.values.length !== (this.table?.length ?? 0)) return null;
        const drawn = besideOverrides(this.statistics, countsFor(this.overrideCounts, this.segmentation), this.shownClasses);
        return extentsByClass(this.statistics, this.completedTable, this.table, this.palette, drawn);
    }

    /** Whether any leaf has this class: deleting it would hide work. */
    hasAssignments(number) {
        const drawn = this.overrideCounts?.values.some((value) => this.shownClasses[value] === number) ?? false;
        return drawn || (this.table?.includes(number) ?? false);
    }

    // ---- what this browser decides -------------------------------------------------------------------------------

    get maxCut() {
        return Math.min(this.tree?.nLeaves ?? MAX_CUT, MAX_CUT);
    }

    setCut(cut) {
        const next = this.tree ? clampCut(this.tree, cut) : Math.max(2, Math.round(cut));
        if (next === this.cut) return;
        this.cut = next;
        this.#refine();
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
        if (this.viewed || this.classOf(this.activeClass)) return;
        this.setActiveClass(this.classes.find((label) => label.number)?.number ?? 0);
    }
}
