/** In the hover box: that the spot under the cursor was drawn by hand, which its cluster's class says nothing of. */
import { byTestId, el } from "./dom.js";

/** @param {import("../state.js").ProjectState} state @param {import("../tools.js").Tools} tools */
export function hoverDrawnPanel(state, tools) {
    const box = byTestId("hover-drawn");

    function show() {
        const label = state.classOf(state.shownClasses[tools.drawn]);
        box.hidden = !label;
        if (!label) return;
        const swatch = el("span", { class: "swatch dot" });
        swatch.style.backgroundColor = label.color;
        box.replaceChildren("Here: ", swatch, label.name, ", drawn by hand");
    }

    tools.on("hover", show);
    state.on("classes", show);
    show();
}
