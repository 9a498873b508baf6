/** Merging a class into another one. */
import { byId, byTestId, el } from "./dom.js";

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../commands.js").Commands} commands
 * @returns {{open: (number: number) => void}}
 */
export function mergeDialog(state, commands) {
    const dialog = byTestId("merge-dialog");
    const target = byTestId("merge-target");
    let source = 0;

    /** The classes that are there now: others may make and delete some meanwhile. */
    function show() {
        const own = state.classOf(source);
        if (!own) {
            dialog.close();
            return;
        }
        const chosen = Number(target.value);
        const others = state.classes.filter(({ number }) => number && number !== source);
        target.replaceChildren(...others.map(({ number, name }) => el("option", { value: number, selected: number === chosen }, name)));
        byId("merge-title").textContent = `Merge “${own.name}” into`;
        byId("merge-text").textContent = `Everything that is “${own.name}”, on the map and among the examples, becomes the other class, and “${own.name}” goes. Undo tells them apart again.`;
        byTestId("merge-submit").disabled = !others.length;
    }

    byId("merge-form").addEventListener("submit", (event) => {
        if (event.submitter === byTestId("merge-cancel")) return;
        const number = Number(target.value);
        commands.mergeClasses([source], number);
        state.setActiveClass(number);
    });
    state.on("classes", () => dialog.open && show());
    return {
        open(number) {
            source = number;
            show();
            dialog.showModal();
            target.focus();
        },
    };
}
