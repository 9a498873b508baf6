/** Tells whoever lost a race for some clusters: one quiet message for all that happens within a few seconds. */
import { lossWords } from "./model/edits.js";
import { toast } from "./toast.js";

const GATHER = 2500; // ms from the first loss to the message

/** @param {import("./state.js").ProjectState} state @param {import("./sync.js").Sync} sync */
export function watchLosses(state, sync) {
    let losses = [];
    let timer = 0;
    sync.on("applied", ({ event }) => {
        if (!event.lost) return;
        const { leaves, label } = event.lost;
        losses.push({ name: event.user ?? "somebody", leaves, mine: label, theirs: event.label ?? 0 });
        timer ||= setTimeout(() => {
            toast(lossWords(losses, state.allClasses), { seconds: 10 });
            losses = [];
            timer = 0;
        }, GATHER);
    });
}
