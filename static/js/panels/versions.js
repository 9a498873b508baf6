/** Named versions: save, look at, rename, delete; comparing is in compare.js. */
import * as api from "../api.js";
import { authorName, moment } from "../model/edits.js";
import { Emitter } from "../model/emitter.js";
import { toastError } from "../toast.js";
import { byId, byTestId, confirmDialog, el, icon, setMessage } from "./dom.js";

/** The versions of the project, kept as the server has them. Emits "change". */
export class Versions extends Emitter {
    list = [];
    #wanted = false;

    /** @param {import("../state.js").ProjectState} state @param {import("../sync.js").Sync} sync */
    constructor(state, sync) {
        super();
        this.state = state;
        sync.on("versions.changed", () => this.#refresh());
        sync.on("loaded", () => this.#refresh());
    }

    get path() {
        return `/api/projects/${this.state.project.id}/versions`;
    }

    /** From now on they are looked at. */
    async want() {
        this.#wanted = true;
        await this.#refresh();
    }

    async #refresh() {
        if (!this.#wanted || !this.state.project) return;
        try {
            this.list = await api.get(this.path);
            this.emit("change");
        } catch (error) {
            toastError(error);
        }
    }
}

/** @param {{open: (before: number | null) => void}} compare */
export function versionsPanel(state, versions, viewing, compare) {
    const section = byId("versions-section");
    const list = byId("version-list");
    const dialog = byTestId("version-dialog");
    const name = byTestId("version-name");
    const note = byTestId("version-note");
    const submit = byTestId("version-submit");
    let editing = null; // the version that is being renamed
    let number = null; // of the edit that is being named; null: the newest

    function tool(iconName, testId, label, onclick, extra = {}) {
        const properties = { type: "button", class: "row-tool", "data-testid": testId, title: label, onclick, ...extra };
        return el("button", properties, icon(iconName), el("span", { class: "visually-hidden" }, label));
    }

    function row(version) {
        const isShown = state.viewed?.number === version.number && !state.viewed.comparison;
        const toggle = () => (isShown ? viewing.leave() : viewing.show(version.number).catch(toastError));
        const tools = [
            tool("eye", "version-view", `See the map of ${version.name}`, toggle, { "aria-pressed": String(isShown) }),
            tool("compare", "version-compare", `Compare ${version.name} with another`, () => compare.open(version.number)),
        ];
        if (version.can_change) {
            tools.push(tool("pencil", "version-edit", `Rename ${version.name}`, () => open(version)));
            tools.push(tool("trash", "version-delete", `Delete ${version.name}`, () => remove(version)));
        }
        const about = `${authorName(version.author, state.user)}, ${moment(version.created_at)} · edit ${version.number}`;
        return el(
            "li",
            { class: isShown ? "version-row shown" : "version-row", "data-testid": "version-row", "data-number": version.number },
            el("div", { class: "version-head" }, el("strong", {}, version.name), el("span", { class: "version-tools" }, ...tools)),
            el("span", { class: "hint" }, about),
            version.note ? el("p", { class: "version-note" }, version.note) : null,
        );
    }

    function draw() {
        list.replaceChildren(...versions.list.map(row));
        byId("versions-empty").hidden = versions.list.length > 0;
    }

    /** @param {object | null} version null: a new one, of what is on the screen */
    function open(version = null) {
        editing = version;
        number = version ? version.number : (state.viewed?.number ?? null);
        const isPast = !version && state.viewed;
        byId("version-title").textContent = version ? "Rename the version" : "Save a version";
        byId("version-about").textContent = isPast ? `The map as it was after edit ${number}, which you are looking at.` : "Everybody in the project sees it; the map itself goes on.";
        byId("version-about").hidden = Boolean(version);
        submit.textContent = version ? "Rename" : "Save";
        name.value = version?.name ?? "";
        note.value = version?.note ?? "";
        setMessage(byTestId("version-error"), "");
        dialog.showModal();
        name.focus();
    }

    async function save() {
        const body = { name: name.value, note: note.value };
        if (editing) await api.patch(`${versions.path}/${editing.id}`, body);
        else await api.post(versions.path, number === null ? body : { ...body, number });
        dialog.close();
        await versions.want();
    }

    async function remove(version) {
        const text = "Its name and note go. The state itself stays in the history.";
        if (!(await confirmDialog(`Delete “${version.name}”?`, text))) return;
        try {
            await api.del(`${versions.path}/${version.id}`);
        } catch (error) {
            toastError(error);
        }
        await versions.want();
    }

    byId("version-form").addEventListener("submit", async (event) => {
        event.preventDefault(); // it closes once it is saved
        submit.disabled = true;
        try {
            await save();
        } catch (error) {
            setMessage(byTestId("version-error"), error.message);
        } finally {
            submit.disabled = false;
        }
    });
    byTestId("version-cancel").addEventListener("click", () => dialog.close());
    byTestId("version-save").addEventListener("click", () => open());
    versions.on("change", draw);
    state.on("viewed", draw);
    section.addEventListener("toggle", () => section.open && versions.want());
    if (section.open && state.project) versions.want();
    draw();
}
