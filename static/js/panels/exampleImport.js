/** The dialog that shows what a file of examples holds before it is imported. */
import * as api from "../api.js";
import { formatPixels } from "../model/areas.js";
import { newClientId } from "../sync.js";
import { toast } from "../toast.js";
import { byId, byTestId, el, setMessage } from "./dom.js";

const MOST_BYTES = 8 * 2 ** 20; // of a file; the server reads no more at once

const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** What is left out, and what polygons become, in sentences. */
export function importRemarks({ outside, without_class: classless, without_geometry: shapeless, per_polygon: perPolygon }, hasPolygons) {
    const left = [
        outside && `${count(outside, "feature")} outside the scene`,
        classless && `${count(classless, "feature")} without a class`,
        shapeless && `${count(shapeless, "feature")} without a geometry`,
    ].filter(Boolean);
    const sentences = [];
    if (left.length) sentences.push(`Left out: ${left.join(", ")}.`);
    if (hasPolygons) sentences.push(`A polygon becomes at most ${count(perPolygon, "pixel")} spread over its inside.`);
    return sentences.join(" ");
}

export function importDialog(state) {
    const dialog = byTestId("import-dialog");
    const field = byTestId("import-field");
    const submit = byTestId("import-submit");
    let text = "";
    let asked = 0; // the latest question; answers to earlier ones are dropped

    const send = async (parameters) => {
        const query = new URLSearchParams(parameters);
        const response = await api.fetchText("POST", `/api/projects/${state.project.id}/examples.geojson?${query}`, text, "application/geo+json");
        return response.json();
    };

    function classRow({ name, color, class: number, features, points, against }) {
        const swatch = el("span", { class: "swatch" });
        swatch.style.backgroundColor = color;
        const facts = `${count(features, "feature")}, ${formatPixels(points)}${against ? `, ${against} against` : ""}`;
        return el(
            "li",
            { "data-testid": "import-class" },
            swatch,
            el("span", { class: "example-class" }, name),
            number === null ? el("span", { class: "badge" }, "new") : null,
            el("span", { class: "hint number" }, facts),
        );
    }

    function show(found) {
        const options = found.fields.map((name) => el("option", { value: name }, name));
        if (!found.field) options.unshift(el("option", { value: "" }, "Choose …"));
        field.replaceChildren(...options);
        field.value = found.field ?? "";
        byId("import-list").replaceChildren(...found.classes.map(classRow));
        setMessage(byId("import-remarks"), found.classes.length ? importRemarks(found, /"(Multi)?Polygon"/.test(text)) : "");
        submit.disabled = !found.classes.length;
        submit.textContent = found.classes.length ? `Import ${formatPixels(found.points)}` : "Import";
        let problem = "";
        if (!found.fields.length) problem = "The features have no property with text or a number that could be their class. Add one, then choose the file again.";
        else if (!found.field) problem = "No property is called like a class; choose the one that holds it.";
        else if (!found.classes.length) problem = `None of the ${count(found.features, "feature")} has a class and lies in the scene.`;
        setMessage(byId("import-error"), problem);
    }

    function refuse(error) {
        byId("import-list").replaceChildren();
        setMessage(byId("import-remarks"), "");
        setMessage(byId("import-error"), error.message);
        submit.disabled = true;
    }

    async function preview(chosen) {
        const question = ++asked;
        submit.disabled = true;
        setMessage(byId("import-error"), "");
        setMessage(byId("import-remarks"), "Reading the file …");
        try {
            const found = await send({ dry_run: 1, ...(chosen ? { field: chosen } : {}) });
            if (question === asked) show(found);
        } catch (error) {
            if (question === asked) refuse(error);
        }
    }

    field.addEventListener("change", () => preview(field.value));
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
        asked += 1;
        text = "";
    });
    byId("import-form").addEventListener("submit", async (event) => {
        event.preventDefault();
        submit.disabled = true;
        try {
            const done = await send({ field: field.value, client_id: newClientId() });
            dialog.close();
            toast(`Imported ${formatPixels(done.points)} of ${count(done.classes.length, "class", "classes")}. Undo takes them back.`);
        } catch (error) {
            setMessage(byId("import-error"), error.message);
            submit.disabled = false;
        }
    });

    /** @param {File} file */
    return async function open(file) {
        byId("import-file").textContent = file.name;
        field.replaceChildren();
        submit.textContent = "Import";
        dialog.showModal();
        if (file.size > MOST_BYTES) {
            refuse(new Error(`The file has ${Math.ceil(file.size / 2 ** 20)} MiB; at most 8 are read at once. Simplify its outlines, or split it.`));
            return;
        }
        text = await file.text();
        await preview("");
    };
}
