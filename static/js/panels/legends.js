/** The dialog that loads the classes of a published legend, or of a file, and saves the project's own. */
import * as api from "../api.js";
import { legendFile, missingClasses, parseLegend } from "../model/legend.js";
import { toast } from "../toast.js";
import { byId, byTestId, el, setMessage } from "./dom.js";

const FROM_FILE = "file";

/** @param {import("../state.js").ProjectState} state @param {import("../commands.js").Commands} commands */
export function legendsPanel(state, commands) {
    const dialog = byTestId("legend-dialog");
    const preset = byTestId("legend-preset");
    const load = byTestId("legend-load");
    let presets = null;
    let fromFile = { name: "", classes: [] };

    const chosen = () => (preset.value === FROM_FILE ? fromFile : presets.find(({ id }) => id === preset.value));

    function row({ name, color, code }, isNew) {
        const swatch = el("span", { class: "swatch" });
        swatch.style.backgroundColor = color;
        return el(
            "li",
            { class: isNew ? "" : "known", title: isNew ? "" : "The project has a class of this name" },
            swatch,
            el("span", { class: "example-class" }, name),
            code === undefined ? null : el("span", { class: "hint number" }, String(code)),
        );
    }

    function show() {
        const { classes, source = "", description = "" } = chosen();
        const added = new Set(missingClasses(classes, state.classes));
        byId("legend-file-button").hidden = preset.value !== FROM_FILE;
        byId("legend-source").textContent = preset.value === FROM_FILE ? fromFile.name : `${description}. Source: ${source}.`;
        byId("legend-list").replaceChildren(...classes.map((label) => row(label, added.has(label))));
        byId("legend-list").hidden = !classes.length;
        load.disabled = !added.size;
        load.textContent = added.size === 1 ? "Add 1 class" : `Add ${added.size || ""} classes`.replace("  ", " ");
        const all = classes.length > 0 && !added.size;
        setMessage(byId("legend-error"), all ? "The project has all of these classes already." : "");
    }

    async function open() {
        try {
            presets ??= await api.get("/api/legends");
        } catch (error) {
            toast(error.message, { kind: "danger" });
            return;
        }
        if (!preset.options.length) {
            const options = presets.map(({ id, name, classes }) => el("option", { value: id }, `${name} (${classes.length})`));
            preset.replaceChildren(...options, el("option", { value: FROM_FILE }, "a file …"));
        }
        byTestId("legend-save").disabled = !state.classes.length;
        show();
        dialog.showModal();
    }

    async function read(file) {
        try {
            fromFile = { name: file.name, classes: parseLegend(await file.text()) };
            show();
        } catch (error) {
            fromFile = { name: file.name, classes: [] };
            show();
            setMessage(byId("legend-error"), error.message);
        }
    }

    function save() {
        const url = URL.createObjectURL(new Blob([legendFile(state.classes)], { type: "application/json" }));
        el("a", { href: url, download: `${state.project.name.replace(/[^\p{L}\p{N}]+/gu, "-") || "project"}-legend.json` }).click();
        URL.revokeObjectURL(url);
    }

    byTestId("legend-open").addEventListener("click", open);
    preset.addEventListener("change", show);
    byTestId("legend-file").addEventListener("change", (event) => {
        const [file] = event.target.files;
        event.target.value = ""; // so that the same file can be chosen again
        if (file) read(file);
    });
    byTestId("legend-save").addEventListener("click", save);
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    byId("legend-form").addEventListener("submit", (event) => {
        event.preventDefault();
        const { id, classes } = chosen();
        commands.loadLegend(id ? { preset: id } : { classes: classes.map(({ name, color }) => [name, color]) });
        dialog.close();
    });
    state.on("classes", () => dialog.open && show());
}
