/**
 * Optimistic edits: what the server confirmed plus what this browser has sent and not heard back. Everything shown is
 * recomputed from the two, so an event that disagrees with a guess simply wins.
 */
import { NO_SPLITS, painted } from "./splits.js";

/** What a pending command would do to the table of `segmentation`. */
export function tableAfter(table, pending, segmentation, splits = NO_SPLITS) {
    if (!table) return table;
    const changes = [];
    for (const command of pending) {
        if (command.segmentation !== segmentation) continue; // the server will reject it as stale
        if (command.type === "leaves.assign") for (const [a, b] of command.ranges) changes.push([a, b, command.class]);
        if (command.type === "leaves.unassign") for (const [a, b] of command.ranges) changes.push([a, b, 0]);
    }
    const merges = pending.filter(({ type }) => type === "class.merge");
    const shown = changes.length ? painted(table, changes, splits) : table;
    return merges.reduce((merged, { sources, class: target }) => merged.map((own) => (sources.includes(own) ? target : own)), shown);
}

/** What pending commands would do to the list of classes; one still to be created has number 0. */
export function classesAfter(classes, pending) {
    let shown = classes;
    const patch = (number, values) => {
        shown = shown.map((label) => (label.number === number ? { ...label, ...values } : label));
    };
    for (const command of pending) {
        if (command.type === "class.rename") patch(command.class, { name: command.name });
        if (command.type === "class.recolor") patch(command.class, { color: command.color });
        if (command.type === "class.delete") patch(command.class, { deleted: true });
        if (command.type === "class.merge") {
            for (const source of command.sources) patch(source, { deleted: true, merged_into: command.class });
        }
        if (command.type === "class.reorder") command.order.forEach((number, position) => patch(number, { position }));
        if (command.type === "class.create") {
            const position = Math.max(-1, ...shown.map((label) => label.position)) + 1;
            shown = [...shown, { number: 0, name: command.name, color: command.color, position, deleted: false }];
        }
    }
    return shown;
}

/** Which of the state's events commands mean while they wait, in the order in which they are told. */
export function eventsFor(commands) {
    const has = (...starts) => commands.some(({ type }) => starts.some((start) => type.startsWith(start)));
    const meant = [
        ["classes", has("class.")],
        ["table", has("leaves.", "class.")],
        ["aoi", has("aoi.set")],
        ["clusters", has("cluster.split")],
        ["completion", has("completion.set")],
    ];
    return [...meant.filter(([, isMeant]) => isMeant).map(([event]) => event), "history"];
}

/** The area of interest after pending commands. */
export function aoiAfter(aoi, pending) {
    return pending.reduce((shown, command) => (command.type === "aoi.set" ? command.geometry : shown), aoi);
}

/** The settings of the completed map after pending commands. */
export function completionAfter(completion, pending) {
    const shown = (now, { on, threshold }) => ({ ...now, on, threshold });
    return pending.reduce((now, command) => (command.type === "completion.set" ? shown(now, command) : now), completion);
}

/**
 * How an event's number follows ours: "next" is to be applied, "old" was applied before, "gap" means that some went
 * missing in between.
 */
export function sequence(ours, theirs) {
    if (theirs <= ours) return "old";
    return theirs === ours + 1 ? "next" : "gap";
}
