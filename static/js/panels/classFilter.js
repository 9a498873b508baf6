/** A box above the list of classes that leaves only those whose names hold what is typed; there from 13 classes on. */
import { matchesFilter } from "../model/legend.js";
import { byId, byTestId, setMessage } from "./dom.js";

const MANY = 12; // classes that are looked through without help

/** To be made after the classes' own panel, whose rows it hides. */
export function classFilter(state) {
    const input = byTestId("class-filter");
    const list = byId("class-list");

    function apply() {
        const many = state.classes.length > MANY;
        input.hidden = !many;
        list.classList.toggle("many", many);
        const filter = many ? input.value : "";
        let shown = 0;
        for (const row of list.children) {
            const name = row.querySelector(".class-name")?.value ?? "";
            row.hidden = Boolean(row.dataset.class) && !matchesFilter(name, filter);
            if (!row.hidden) shown += 1;
        }
        setMessage(byId("class-filter-none"), many && !shown ? `No class is called “${filter.trim()}”.` : "");
    }

    input.addEventListener("input", apply);
    input.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        input.value = "";
        apply();
    });
    state.on("classes", apply);
    apply();
}
