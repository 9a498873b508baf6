/** The list of classes: choose, name, color, order, delete; areas and shares. */
import { formatArea, formatPixels, formatShare } from "../model/areas.js";
import { checkName, moved, nextColor } from "../model/classes.js";
import { toast } from "../toast.js";
import { byId, byTestId, confirmDialog, el, icon, setMessage } from "./dom.js";
import { mergeDialog } from "./merge.js";

/** @param {import("../state.js").ProjectState} state @param {import("../commands.js").Commands} commands */
export function classesPanel(state, commands) {
    const merge = mergeDialog(state, commands);
    const list = byId("class-list");
    const rows = new Map(); // class number -> row
    let dragged = 0;

    const order = () => state.classes.map(({ number }) => number).filter(Boolean);
    const move = (number, toIndex) => {
        const next = moved(order(), number, toIndex);
        if (next.join() !== order().join()) commands.reorderClasses(next);
    };

    async function remove(label) {
        if (state.hasAssignments(label.number)) {
            const extent = state.classExtents()?.get(label.number);
            const share = extent ? ` (${formatShare(extent.share)} of the scene)` : "";
            const text = `Everything that is “${label.name}”${share} goes back to having no class. Undo brings it back.`;
            if (!(await confirmDialog(`Delete “${label.name}”?`, text))) return;
        }
        commands.deleteClass(label.number);
    }

    function rename(label, input) {
        try {
            const name = checkName(input.value, state.classes, label.number);
            if (name !== label.name) commands.renameClass(label.number, name);
            input.value = name;
        } catch (error) {
            toast(error.message, { kind: "danger" });
            input.value = label.name;
        }
    }

    function nameInput(current) {
        return el("input", {
            type: "text",
            class: "class-name",
            "data-testid": "class-name",
            maxLength: 80,
            "aria-label": "Name of the class",
            onfocus: () => state.setActiveClass(current().number),
            onchange: (event) => rename(current(), event.target),
            onkeydown: (event) => {
                if (event.key === "Enter") event.target.blur();
                if (event.key === "Escape") {
                    event.target.value = current().name;
                    event.target.blur();
                    event.stopPropagation();
                }
            },
        });
    }

    function createRow(number) {
        const current = () => state.classOf(number);
        const button = (testId, name, title, onclick) =>
            el("button", { type: "button", class: "row-tool", "data-testid": testId, title, "aria-label": title, onclick }, icon(name));
        const key = el("kbd", { class: "class-key" });
        const row = el(
            "li",
            { class: "class-row", "data-testid": "class-row", "data-class": number, draggable: false },
            el("span", { class: "grip", title: "Drag to reorder", "aria-hidden": "true", onpointerdown: () => (row.draggable = true) }, icon("grip")),
            el("input", {
                type: "color",
                class: "class-color",
                "data-testid": "class-color",
                "aria-label": "Color of the class",
                onchange: (event) => commands.recolorClass(number, event.target.value),
            }),
            nameInput(current),
            el("button", { type: "button", class: "class-select", "data-testid": "class-select", onclick: () => state.setActiveClass(number) }, key),
            el(
                "div",
                { class: "class-facts" },
                el("span", { class: "number", "data-testid": "class-area" }),
                el("span", { class: "number class-share", "data-testid": "class-share" }),
                el(
                    "span",
                    { class: "row-tools" },
                    button("class-up", "up", "Move up", () => move(number, order().indexOf(number) - 1)),
                    button("class-down", "down", "Move down", () => move(number, order().indexOf(number) + 1)),
                    button("class-merge", "merge", "Merge into another class", () => merge.open(number)),
                    button("class-delete", "trash", "Delete the class", () => remove(current())),
                ),
            ),
            el("div", { class: "class-predicted", "data-testid": "class-predicted", hidden: true }),
        );
        row.addEventListener("click", (event) => {
            if (!event.target.closest("button, input")) state.setActiveClass(number);
        });
        makeDraggable(row, number);
        return row;
    }

    function makeDraggable(row, number) {
        row.addEventListener("pointerup", () => (row.draggable = false));
        row.addEventListener("dragstart", (event) => {
            dragged = number;
            event.dataTransfer.effectAllowed = "move";
            event.dataTransfer.setData("text/plain", row.querySelector(".class-name").value);
        });
        row.addEventListener("dragend", () => {
            dragged = 0;
            row.draggable = false;
        });
        row.addEventListener("dragover", (event) => {
            if (!dragged) return;
            event.preventDefault();
            row.classList.toggle("drop-target", dragged !== number);
        });
        row.addEventListener("dragleave", () => row.classList.remove("drop-target"));
        row.addEventListener("drop", (event) => {
            event.preventDefault();
            row.classList.remove("drop-target");
            if (dragged && dragged !== number) move(dragged, order().indexOf(number));
        });
    }

    function pendingRow(label) {
        const swatch = el("span", { class: "swatch" });
        swatch.style.backgroundColor = label.color;
        return el("li", { class: "class-row class-row-pending" }, swatch, el("span", {}, `${label.name} – saving …`));
    }

    function showRow(label, index, count) {
        if (!rows.has(label.number)) rows.set(label.number, createRow(label.number));
        const row = rows.get(label.number);
        const name = byTestId("class-name", row);
        if (document.activeElement !== name) name.value = label.name;
        const color = byTestId("class-color", row);
        if (document.activeElement !== color || color.value === label.color) color.value = label.color;
        const select = byTestId("class-select", row);
        select.setAttribute("aria-label", `Assign “${label.name}” from now on`);
        select.querySelector("kbd").textContent = index < 9 ? String(index + 1) : "·";
        byTestId("class-up", row).disabled = index === 0;
        byTestId("class-down", row).disabled = index === count - 1;
        byTestId("class-merge", row).disabled = count < 2;
        return row;
    }

    function showClasses() {
        const labels = state.classes;
        const numbers = new Set(labels.map(({ number }) => number));
        for (const number of [...rows.keys()]) if (!numbers.has(number)) rows.delete(number);
        const shown = labels.map((label, index) => (label.number ? showRow(label, index, labels.length) : pendingRow(label)));
        // Rows that stay where they are keep the focus: only what moved is put in anew.
        shown.forEach((row, index) => {
            if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
        });
        while (list.children.length > shown.length) list.lastChild.remove();
        byId("classes-empty").hidden = labels.length > 0;
        showActive();
        showExtents();
    }

    function showActive() {
        for (const [number, row] of rows) {
            const active = number === state.activeClass;
            row.classList.toggle("active", active);
            byTestId("class-select", row).setAttribute("aria-pressed", String(active));
        }
        const label = state.classOf(state.activeClass);
        const swatch = el("span", { class: "swatch" });
        swatch.style.backgroundColor = label?.color ?? "";
        byId("active-class").replaceChildren(swatch, label?.name ?? "No class yet");
    }

    function showExtents() {
        const extents = state.classExtents();
        const text = (extent) => (extent.inArea ? formatArea(extent.value) : formatPixels(extent.value));
        for (const [number, row] of rows) {
            const extent = extents?.get(number);
            byTestId("class-area", row).textContent = extent ? text(extent) : "–";
            byTestId("class-share", row).textContent = extent ? formatShare(extent.share) : "";
            const predicted = extent?.predicted ? text({ ...extent, value: extent.predicted }) : "";
            setMessage(byTestId("class-predicted", row), predicted && `of which ${predicted} predicted`);
        }
        byTestId("unlabelled-share").textContent = extents ? formatShare(extents.get(0).share) : "–";
        byId("share-bar").replaceChildren(
            ...state.classes
                .filter(({ number }) => extents?.get(number)?.share > 0)
                .flatMap(({ number, color }) => {
                    const { value, predicted, share } = extents.get(number);
                    return [["", value - predicted], ["predicted", predicted]].map(([name, own]) => {
                        const part = el("span", { class: name });
                        part.style.width = `${(share * own * 100) / value}%`;
                        part.style.backgroundColor = color;
                        return part;
                    });
                }),
        );
    }

    // Slider and paint change the table many times a frame; the sums need it once.
    let frame = 0;
    const soon = () => {
        frame ||= requestAnimationFrame(() => {
            frame = 0;
            showExtents();
        });
    };

    const nameOfNew = byTestId("class-add-name");
    byId("class-add-form").addEventListener("submit", (event) => {
        event.preventDefault();
        try {
            const name = nameOfNew.value.trim() ? checkName(nameOfNew.value, state.classes) : undefined;
            commands.createClass(name, nextColor(state.classes));
            nameOfNew.value = "";
        } catch (error) {
            toast(error.message, { kind: "danger" });
        }
    });

    state.on("classes", showClasses);
    state.on("active", showActive);
    for (const event of ["table", "statistics", "counts", "completion", "prediction"]) state.on(event, soon);
    showClasses();
}
