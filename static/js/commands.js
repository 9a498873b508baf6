/** What a person can do to the project, as commands. */
import { nextColor, nextName } from "./model/classes.js";
import { mergeRanges, valueOver } from "./model/ranges.js";

export class Commands {
    #firstClass = null; // client id of the class that a click without any class asked for
    #waiting = []; // what is to be done once it has its number

    /** @param {import("./state.js").ProjectState} state @param {import("./sync.js").Sync} sync */
    constructor(state, sync) {
        this.state = state;
        this.sync = sync;
        sync.on("applied", ({ event, command }) => {
            if (command?.type === "class.create") this.#created(event, command);
        });
        sync.on("rejected", ({ command }) => {
            if (command && command.client_id === this.#firstClass) {
                this.#firstClass = null;
                this.#waiting = [];
            }
        });
    }

    /**
     * Give leaves the active class; the first class is made on the way where there is none.
     * @param {number[][]} ranges [low, high) leaf ranges
     * @param {number[] | null} point [row, col] of the clicked pixel
     * @returns {object | null} the command, where there was anything to do
     */
    assign(ranges, point = null) {
        const { state } = this;
        if (!state.table || !ranges.length) return null;
        if (!state.activeClass) {
            this.#withFirstClass(() => this.assign(ranges, point));
            return null;
        }
        const open = mergeRanges(ranges).filter(([low, high]) => valueOver(state.table, low, high) !== state.activeClass);
        return open.length ? this.#leaves("leaves.assign", open, point, { class: state.activeClass }) : null;
    }

    /**
     * A click gives its cluster the active class; where other classes were clicked in the cluster, only the part of it that
     * their clicks are not in, or of its leaf the pixels that look like this one.
     * @param {number} reach pixels of the scene that the hand cannot tell apart
     */
    click(leaf, point, reach = 0) {
        const { state } = this;
        if (!state.table) return;
        if (!state.activeClass) {
            this.#withFirstClass(() => this.click(leaf, point, reach));
            return;
        }
        const { ranges, rivals } = state.meantBy(leaf, point, reach);
        if (rivals.length && state.segmentation.state === "complete") {
            this.splitLeaf(leaf, { class: state.activeClass, point });
            return;
        }
        const command = this.assign(ranges, point);
        if (!command) return;
        const [row, col] = point;
        state.rememberClick(command.client_id, { number: 0, row, col, class: state.activeClass, leaf });
    }

    /** Show the parts of a cluster as clusters of their own, to everybody. */
    splitCluster({ low, high }, parts) {
        const { id: segmentation, version } = this.state.segmentation;
        return this.sync.dispatch({ type: "cluster.split", segmentation, version, range: [low, high], parts });
    }

    /**
     * Cut a leaf finer.
     * @param {{parts: number} | {class: number, point: number[]}} how into so many clusters of their own, or by what was
     *     clicked in it
     */
    splitLeaf(leaf, how) {
        const { id: segmentation, version } = this.state.segmentation;
        return this.sync.dispatch({ type: "leaf.split", segmentation, version, leaf, ...how });
    }

    /** The server need not keep the split that was only looked at. */
    cancelSplit() {
        this.sync.socket.send({ type: "split.cancel" });
    }

    unassign(ranges, point = null) {
        const { table } = this.state;
        if (!table) return;
        const taken = mergeRanges(ranges).filter(([low, high]) => valueOver(table, low, high) !== 0);
        if (taken.length) this.#leaves("leaves.unassign", taken, point, {});
    }

    #leaves(type, ranges, point, fields) {
        const { id: segmentation, version } = this.state.segmentation;
        const place = point ? { point: point.map(Math.floor) } : {};
        const { number: seen } = this.state;
        return this.sync.dispatch({ type, segmentation, version: version ?? 0, ranges, ...fields, ...place, seen });
    }

    createClass(name = nextName(this.state.classes), color = nextColor(this.state.classes)) {
        return this.sync.dispatch({ type: "class.create", name, color });
    }

    #created(event, command) {
        const made = (event.classes ?? []).filter(({ name, deleted }) => name === command.name && !deleted);
        if (!made.length) return;
        this.state.setActiveClass(Math.max(...made.map(({ number }) => number)));
        if (command.client_id !== this.#firstClass) return;
        this.#firstClass = null;
        for (const act of this.#waiting.splice(0)) act();
    }

    /** Make a class, and do something with it as soon as it has its number. */
    #withFirstClass(act) {
        this.#waiting.push(act);
        this.#firstClass ??= this.createClass().client_id;
    }

    /**
     * Say of pixels that they are of the active class, or are not; nothing is assigned.
     * @param {number[][]} points [row, col]
     */
    addStroke(points, against = false) {
        const { activeClass } = this.state;
        if (activeClass) this.sync.dispatch({ type: "examples.add", examples: [{ class: activeClass, against, points }] });
        else this.#withFirstClass(() => this.addStroke(points, against));
    }

    /**
     * Give pixels the active class whatever their leaves have, or take what was drawn there away.
     * @param {{polygons: number[][][][]} | {region: object}} shape as docs/protocol.md describes them
     * @param {(command: object) => void} onSent
     */
    draw(shape, erases, onSent = () => {}) {
        const { activeClass } = this.state;
        if (!erases && !activeClass) this.#withFirstClass(() => this.draw(shape, erases, onSent));
        else onSent(this.sync.dispatch({ type: "override.add", class: erases ? null : activeClass, ...shape }));
    }

    /** @param {number[]} sources classes that become another one */
    mergeClasses(sources, target) {
        this.sync.dispatch({ type: "class.merge", sources, class: target });
    }

    /** @param {number[]} targets numbers of edits: all examples that they gave go */
    removeExamples(targets) {
        this.sync.dispatch({ type: "examples.remove", targets });
    }

    /** @param {{preset: string} | {classes: string[][]}} legend the name of a preset, or [name, color] pairs */
    loadLegend(legend) {
        return this.sync.dispatch({ type: "legend.load", ...legend });
    }

    renameClass(number, name) {
        this.sync.dispatch({ type: "class.rename", class: number, name });
    }

    recolorClass(number, color) {
        this.sync.dispatch({ type: "class.recolor", class: number, color });
    }

    reorderClasses(order) {
        this.sync.dispatch({ type: "class.reorder", order });
    }

    deleteClass(number) {
        this.sync.dispatch({ type: "class.delete", class: number });
    }

    setAreaOfInterest(geometry) {
        this.sync.dispatch({ type: "aoi.set", geometry });
    }

    /** Whether the decoder completes the map, and from which certainty on: for all members. */
    setCompletion(on, threshold) {
        this.sync.dispatch({ type: "completion.set", on, threshold });
    }

    adopt(segmentation) {
        this.sync.dispatch({ type: "segmentation.adopt", segmentation });
    }

    /** Bring the project back to where it was right after an edit, as an edit. */
    restore(number) {
        return this.sync.dispatch({ type: "state.restore", number });
    }

    /** Where nothing can be undone the server says why: another's change of segmentation may lie before it. */
    undo() {
        this.sync.dispatch({ type: "edit.undo" });
    }

    redo() {
        if (this.state.canRedo) this.sync.dispatch({ type: "edit.redo" });
    }
}
