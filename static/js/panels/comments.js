/** Notes: the list in the panel, the pins, and the thread that opens at one of them. */
import { excerpt } from "../model/comments.js";
import { authorName, moment, timeAgo } from "../model/edits.js";
import { toast, toastError } from "../toast.js";
import { ThreadBox } from "./thread.js";
import { byId, byTestId, el, remembered } from "./dom.js";

const TOP = 64; // CSS pixels that the toolbar takes
const HINT = "Click the place that the note is about; Esc to stop.";

/**
 * @param {import("../comments.js").Comments} comments
 * @param {import("../layers/comments.js").CommentLayer} pins
 * @param {import("../tools.js").Tools} tools
 * @param {import("../layers/places.js").Places} places
 * @returns {{open: (thread: object) => void, toggle: () => void, cancel: () => boolean}}
 */
export function commentsPanel(state, comments, pins, tools, places) {
    const { map } = places;
    const list = byId("comment-list");
    const settled = byTestId("comments-resolved");
    const buttons = [byTestId("comment-add"), byTestId("tool-comment")];
    const count = byId("comments-count");
    let placing = false;
    let takeHintAway = () => {};
    let popup = null; // {leaflet, box, thread id or null while it is being written}

    const shown = () => comments.threads.filter((thread) => !thread.isSettled || settled.checked || thread.id === popup?.id);

    // ---- the list ------------------------------------------------------------------------------------------------

    function row(thread) {
        const { first, all, isSettled } = thread;
        const answers = all.length === 1 ? "" : ` · ${all.length - 1} ${all.length === 2 ? "answer" : "answers"}`;
        const dot = el("span", { class: "person-dot", "aria-hidden": "true" });
        if (first.author) dot.style.setProperty("--person", first.author.color);
        const about = `${authorName(first.author, state.user)}, ${timeAgo(thread.at)}${answers}${isSettled ? " · settled" : ""}`;
        const text = el("span", { class: "comment-excerpt" }, excerpt(first.text));
        const properties = { type: "button", class: "comment-go", "data-testid": "comment-row", "data-thread": thread.id, title: moment(thread.at), onclick: () => jump(thread) };
        return el("li", { class: isSettled ? "settled" : "" }, el("button", properties, dot, el("span", { class: "comment-lines" }, text, el("span", { class: "hint" }, about))));
    }

    function draw() {
        const threads = shown();
        const open = comments.threads.filter(({ isSettled }) => !isSettled).length;
        list.replaceChildren(...threads.map(row));
        byId("comments-empty").hidden = threads.length > 0;
        byId("comments-empty").textContent = comments.threads.length ? "All notes are settled." : "No notes yet. Pin one to a place of the map, for the others to see.";
        count.textContent = String(open);
        count.hidden = !open;
        pins.show(threads);
        if (popup?.id) {
            const thread = comments.threadOf(popup.id);
            if (thread) {
                popup.box.show(thread);
                keepInView();
            } else close();
        }
    }

    function jump(thread) {
        places.goTo(thread.row, thread.col);
        open(thread);
    }

    // ---- the thread ----------------------------------------------------------------------------------------------

    function openAt(place, id, box) {
        close();
        const leaflet = L.popup({ className: "note-popup", closeOnClick: false, autoClose: false, minWidth: 260, maxWidth: 300, offset: [0, -24], autoPanPaddingTopLeft: [70, TOP], autoPanPaddingBottomRight: [70, 20] });
        popup = { leaflet, box, id };
        leaflet.setLatLng(places.at(...place)).setContent(box.element).openOn(map);
        leaflet.on("remove", () => {
            box.element.remove(); // the popup fades out, and two of them would be there meanwhile
            if (popup?.leaflet === leaflet) closed();
        });
        box.focus();
    }

    /** A thread that has grown is under the toolbar; Leaflet's own `update` would take the focus away. */
    function keepInView() {
        const inner = popup.leaflet.getElement()?.getBoundingClientRect();
        const hidden = inner ? map.getContainer().getBoundingClientRect().top + TOP - inner.top : 0;
        if (hidden > 0) map.panBy([0, -hidden]);
    }

    function closed() {
        popup = null;
        pins.showDraft(null);
        draw();
    }

    function close() {
        popup?.leaflet.remove();
    }

    function open(thread) {
        const box = new ThreadBox(state, comments, thread.id);
        box.show(thread);
        openAt([thread.row, thread.col], thread.id, box);
    }

    /** Write a note at a place. */
    function write(place) {
        const box = new ThreadBox(state, comments, null, async (text) => {
            const made = await comments.pin(place, text);
            const thread = comments.threadOf(made.id);
            if (thread) open(thread);
            else close();
        });
        openAt(place, null, box);
        pins.showDraft(place);
    }

    // ---- placing -------------------------------------------------------------------------------------------------

    function setPlacing(on) {
        if (on === placing) return;
        placing = on;
        tools.setBlocked(on);
        map.getContainer().classList.toggle("placing", on);
        for (const button of buttons) button.setAttribute("aria-pressed", String(on));
        takeHintAway();
        if (on) takeHintAway = toast(HINT, { seconds: 60 });
    }

    map.on("click", ({ containerPoint }) => {
        if (!placing) return;
        const { row: line, col } = tools.layer.containerToPixel(containerPoint);
        if (!tools.layer.grid.contains({ row: line, col })) {
            toast("That is outside the scene; click a place inside.");
            return;
        }
        // Leaving the mode at once would make this very click classify, too.
        setTimeout(() => setPlacing(false), 0);
        write([line, col]);
    });

    for (const button of buttons) button.addEventListener("click", () => setPlacing(!placing));
    settled.checked = remembered.get("settled-notes", false);
    settled.addEventListener("change", () => {
        remembered.set("settled-notes", settled.checked);
        draw();
    });
    comments.on("change", draw);
    comments.on("failed", toastError);
    draw();

    return {
        open,
        toggle: () => setPlacing(!placing),
        /** @returns {boolean} whether there was anything to end */
        cancel() {
            if (placing) setPlacing(false);
            else if (popup) close();
            else return false;
            return true;
        },
    };
}
