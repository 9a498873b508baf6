/** One thread of notes, in a popup: what was written, and room for an answer. Text is shown as text, never as markup. */
import { authorName, moment, timeAgo } from "../model/edits.js";
import { toastError } from "../toast.js";
import { confirmDialog, el, icon, setMessage } from "./dom.js";

const LONGEST = 4000; // characters, as the server takes

export class ThreadBox {
    #list = el("ol", { class: "thread" });
    #text = el("textarea", { class: "thread-text", "data-testid": "comment-text", rows: 2, maxLength: LONGEST });
    #send = el("button", { type: "submit", class: "button primary small", "data-testid": "comment-send" });
    #settle = el("button", { type: "button", class: "button quiet small", "data-testid": "comment-resolve", hidden: true });
    #error = el("p", { class: "field-error", role: "alert", hidden: true });
    #thread = null;
    #editing = null; // id of the note that is being changed

    /**
     * @param {import("../comments.js").Comments} comments
     * @param {number | null} id of the thread; null while its first note is being written
     * @param {(text: string) => Promise<void>} [onFirst] takes that first note
     */
    constructor(state, comments, id, onFirst = null) {
        Object.assign(this, { state, comments, id, onFirst });
        const isNew = id === null;
        this.#text.placeholder = isNew ? "What is it about this place?" : "Answer …";
        this.#text.setAttribute("aria-label", isNew ? "Note" : "Answer");
        this.#send.textContent = isNew ? "Pin it" : "Answer";
        const form = el("form", { class: "thread-form" }, this.#text, this.#error, el("div", { class: "thread-buttons" }, this.#settle, this.#send));
        form.noValidate = true;
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            this.#submit();
        });
        this.#text.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#submit();
        });
        this.#settle.addEventListener("click", () => this.#do(() => comments.change(id, { resolved: !this.#thread.isSettled })));
        this.element = el("div", { class: "thread-box", "data-testid": "comment-box" }, this.#list, form);
        // The map would take the wheel and the clicks.
        L.DomEvent.disableScrollPropagation(this.element);
        L.DomEvent.disableClickPropagation(this.element);
    }

    focus() {
        this.#text.focus({ preventScroll: true });
    }

    /** Draw the thread anew; what is being written stays. */
    show(thread) {
        this.#thread = thread;
        if (this.#editing === null) this.#list.replaceChildren(...thread.all.map((note) => this.#item(note)));
        this.#settle.hidden = !thread.first.can_resolve;
        this.#settle.textContent = thread.isSettled ? "Open again" : "Settle";
    }

    #item(note) {
        const name = el("strong", { class: "edit-author" }, authorName(note.author, this.state.user));
        if (note.author) name.style.setProperty("--person", note.author.color);
        const time = el("time", { class: "edit-time", dateTime: note.created_at, title: moment(note.created_at) }, timeAgo(note.created_at));
        const edited = note.edited_at ? el("span", { class: "edit-time", title: moment(note.edited_at) }, "edited") : null;
        const tools = el("span", { class: "thread-tools" });
        if (note.can_edit) tools.append(this.#tool("pencil", "comment-edit", "Change this note", () => this.#edit(item, note)));
        if (note.can_delete) tools.append(this.#tool("trash", "comment-delete", "Delete this note", () => this.#delete(note)));
        const body = el("p", { class: "thread-words" }, note.text);
        const item = el("li", { "data-testid": "comment-item", "data-note": note.id }, el("div", { class: "thread-head" }, name, time, edited, tools), body);
        const { resolved_by: settler, resolved_at: at } = note;
        if (at) item.append(el("p", { class: "hint" }, `Settled by ${authorName(settler, this.state.user).toLowerCase() === "you" ? "you" : (settler?.name ?? "somebody")}, ${timeAgo(at)}`));
        return item;
    }

    #tool(iconName, testId, label, onclick) {
        return el("button", { type: "button", class: "row-tool", "data-testid": testId, title: label, onclick }, icon(iconName), el("span", { class: "visually-hidden" }, label));
    }

    #edit(item, note) {
        this.#editing = note.id;
        const text = el("textarea", { class: "thread-text", "data-testid": "comment-edit-text", rows: 3, maxLength: LONGEST, value: note.text, "aria-label": "Note" });
        const end = () => {
            this.#editing = null;
            this.show(this.#thread);
        };
        const save = el("button", { type: "button", class: "button primary small", "data-testid": "comment-edit-save" }, "Save");
        const cancel = el("button", { type: "button", class: "button quiet small", "data-testid": "comment-edit-cancel", onclick: end }, "Cancel");
        save.addEventListener("click", () =>
            this.#do(async () => {
                await this.comments.change(note.id, { text: text.value });
                end();
            }),
        );
        item.querySelector(".thread-words").replaceWith(text, el("div", { class: "thread-buttons" }, cancel, save));
        text.focus();
    }

    async #delete(note) {
        const isFirst = note.parent === null;
        const answers = this.#thread.all.length - 1;
        const text = isFirst && answers ? `Its ${answers === 1 ? "answer goes" : `${answers} answers go`} too.` : "It cannot be brought back.";
        if (await confirmDialog("Delete this note?", text)) await this.#do(() => this.comments.remove(note.id));
    }

    async #submit() {
        const text = this.#text.value;
        await this.#do(async () => {
            if (this.onFirst) {
                await this.onFirst(text);
                return;
            }
            await this.comments.answer(this.id, text);
            this.#text.value = "";
        });
    }

    /** Do something on the server; what goes wrong is told here, and what was written stays. */
    async #do(action) {
        this.#send.disabled = true;
        setMessage(this.#error, "");
        try {
            await action();
        } catch (error) {
            if (error.name === "ApiError") setMessage(this.#error, error.message);
            else toastError(error);
        } finally {
            this.#send.disabled = false;
        }
    }
}
