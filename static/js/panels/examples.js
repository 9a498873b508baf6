/** The section "Examples": counts by class, shown on the map or not, the selected one removed, import. */
import { describeSum, examplesByClass, MOST_DRAWN } from "../model/examples.js";
import { formatPixels } from "../model/areas.js";
import { byId, byTestId, el, remembered, setMessage } from "./dom.js";
import { importDialog } from "./exampleImport.js";

/** @param {import("../state.js").ProjectState} state @param {import("../examples.js").Examples} examples */
export function examplesPanel(state, examples) {
    const section = byId("examples");
    const show = byTestId("examples-show");

    function swatch(color) {
        const element = el("span", { class: "swatch" });
        element.style.backgroundColor = color;
        return element;
    }

    function row({ number, name, color }, sum) {
        const against = sum.against ? el("span", { class: "example-against", title: "pixels that are not of the class" }, `−${sum.against.toLocaleString("en")}`) : null;
        return el(
            "li",
            { class: "example-row", "data-testid": "example-row", "data-class": number, title: describeSum(sum) },
            swatch(color),
            el("span", { class: "example-class" }, name),
            el("span", { class: "number" }, sum.points ? formatPixels(sum.points) : "", against),
        );
    }

    function draw() {
        if (!section.open) return;
        const list = examples.list;
        const sums = examplesByClass(list ?? []);
        const rows = state.classes.filter(({ number }) => sums.has(number)).map((label) => row(label, sums.get(label.number)));
        byId("example-list").replaceChildren(...rows);
        byId("examples-empty").hidden = list === null || rows.length > 0;
        const imported = [...sums.values()].reduce((total, sum) => total + sum.imported, 0);
        const part = examples.shown && imported > MOST_DRAWN;
        setMessage(byId("examples-hint"), part ? `Of ${formatPixels(imported)} imported, ${MOST_DRAWN.toLocaleString("en")} are drawn.` : "");
        byTestId("examples-export").toggleAttribute("aria-disabled", !rows.length);
    }

    show.addEventListener("change", () => {
        examples.setShown(show.checked);
        remembered.set("examples", show.checked);
    });
    examples.on("shown", (shown) => {
        show.checked = shown;
        draw();
    });
    examples.on("change", draw);
    section.addEventListener("toggle", () => {
        examples.setOpen(section.open);
        draw();
    });
    byTestId("examples-export").addEventListener("click", (event) => {
        if (event.currentTarget.hasAttribute("aria-disabled")) event.preventDefault();
    });

    const openImport = importDialog(state);
    const input = byTestId("examples-import");
    input.addEventListener("change", () => {
        const [file] = input.files;
        input.value = ""; // so that the same file can be chosen again
        if (file) openImport(file);
    });
    examples.setOpen(section.open);
    examples.setShown(remembered.get("examples", false));
    draw();
}

/** What needs the map: drawing, selecting, removing. Drawing a stroke shows what was drawn before. */
export function examplesOnMap(state, examples, layer, tools, commands) {
    let frame = 0;
    const draw = () => {
        frame ||= requestAnimationFrame(() => {
            frame = 0;
            layer.show(examples.shown ? (examples.list ?? []) : null, state.classes);
        });
    };
    const remove = () => {
        const { selected } = layer;
        if (!selected?.number) return;
        layer.select(null);
        commands.removeExamples([selected.number]);
    };

    tools.claimClick = (point) => {
        const example = examples.shown ? layer.exampleAt(point) : null;
        if (example) layer.select(example);
        return Boolean(example);
    };
    tools.on("tool", () => {
        if (tools.strokes) examples.setShown(true);
        layer.select(null);
    });
    layer.on("remove", remove);
    document.addEventListener("keydown", (event) => {
        if (!layer.selected || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
        if (event.key !== "Delete" && event.key !== "Backspace") return;
        event.preventDefault();
        remove();
    });
    examples.on("change", draw);
    examples.on("shown", draw);
    draw();
}
