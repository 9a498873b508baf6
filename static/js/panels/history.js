/** "Recent edits": who did what, when and where; from each one can go to the place, or see the map as it was then. */
import { authorName, editWords, moment, ofWhom, timeAgo } from "../model/edits.js";
import { toast, toastError } from "../toast.js";
import { byId, byTestId, debounced, el, icon, setMessage } from "./dom.js";

const TICK = 30_000; // ms between two looks at how long ago everything was
const PAUSE = 120; // ms: several edits in a row are drawn once

const EMPTY = { all: "Nothing was done here yet.", mine: "Nothing of yours among these.", others: "Nothing of others among these." };

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../recentEdits.js").RecentEdits} recent
 * @param {import("../viewing.js").Viewing} viewing
 * @param {import("../layers/places.js").Places} places
 */
export function historyPanel(state, recent, viewing, places) {
    const section = byId("history-section");
    const list = byId("edit-list");
    const older = byTestId("history-older");
    const filters = [...section.querySelectorAll("[data-whose]")];
    let whose = "all";

    function swatchOf(edit) {
        const color = edit.detail?.color ?? state.allClasses.find(({ number }) => number === edit.label)?.color;
        const swatch = el("span", { class: color ? "swatch" : "swatch none", "aria-hidden": "true" });
        if (color) swatch.style.backgroundColor = color;
        return swatch;
    }

    function nameOf(author) {
        const name = el("strong", { class: "edit-author" }, authorName(author, state.user));
        if (author) name.style.setProperty("--person", author.color);
        return name;
    }

    function row(edit) {
        const words = editWords(edit, state.allClasses);
        const [line, column] = edit.place ?? [];
        const when = el("time", { class: "edit-time", dateTime: edit.at, title: moment(edit.at) }, timeAgo(edit.at));
        const head = el("span", { class: "edit-head" }, nameOf(edit.author), when);
        const text = el("span", { class: "edit-words" }, head, el("span", { class: "edit-what" }, words));
        const go = el(
            "button",
            {
                type: "button",
                class: "edit-jump",
                "data-testid": "edit-jump",
                disabled: !edit.place,
                title: edit.place ? "Go there" : "",
                onclick: () => places.goTo(line, column),
            },
            swatchOf(edit),
            text,
        );
        const isShown = state.viewed?.number === edit.number;
        const view = el(
            "button",
            {
                type: "button",
                class: "row-tool",
                "data-testid": "edit-view",
                "aria-pressed": String(isShown),
                title: "See the map as it was right after this",
                onclick: () => (isShown ? viewing.leave() : viewing.show(edit.number).catch(toastError)),
            },
            icon("eye"),
            el("span", { class: "visually-hidden" }, `See the map as it was after edit ${edit.number}`),
        );
        const classes = ["edit-row", edit.live ? "" : "undone", isShown ? "shown" : ""].filter(Boolean).join(" ");
        const undone = edit.live ? null : el("span", { class: "visually-hidden" }, "Taken back:");
        return el("li", { class: classes, "data-testid": "edit-row", "data-number": edit.number }, undone, go, view);
    }

    function draw() {
        if (!section.open) return;
        const shown = ofWhom(recent.list, whose, state.user);
        const focused = list.contains(document.activeElement) ? document.activeElement : null;
        const at = focused && [focused.closest("li").dataset.number, focused.dataset.testid];
        list.replaceChildren(...shown.map(row));
        if (at) list.querySelector(`[data-number="${at[0]}"] [data-testid="${at[1]}"]`)?.focus();
        setMessage(byId("history-empty"), shown.length || recent.isLoading ? "" : EMPTY[whose]);
        older.hidden = !recent.hasMore;
        older.disabled = recent.isLoading;
        list.setAttribute("aria-busy", String(recent.isLoading));
    }

    /** Only the times: a list that is drawn anew would lose what is being pressed. */
    function tick() {
        if (!section.open) return;
        for (const time of list.querySelectorAll("time")) time.textContent = timeAgo(time.dateTime);
    }

    function watch() {
        if (section.open) recent.want();
        else recent.leave();
        draw();
    }

    const soon = debounced(draw, PAUSE);
    recent.on("change", soon);
    recent.on("failed", toastError);
    for (const event of ["classes", "viewed"]) state.on(event, soon);
    section.addEventListener("toggle", watch);
    older.addEventListener("click", () => recent.loadOlder());
    for (const button of filters) {
        button.addEventListener("click", () => {
            whose = button.dataset.whose;
            for (const one of filters) one.setAttribute("aria-pressed", String(one === button));
            draw();
        });
    }
    setInterval(tick, TICK);
    watch();
}

/** The banner over the map while one looks at another state than now. */
export function viewingBanner(state, viewing, places) {
    const banner = byTestId("history-banner");
    const restore = byTestId("history-restore");
    const steps = { "history-earlier": -1, "history-later": 1 };
    let modeBefore = null;

    function text({ number, at, user, exact, comparison }) {
        if (comparison) {
            const { before, after } = comparison;
            return `What changed between edit ${before.number} (${moment(before.at)}) and edit ${after.number} (${moment(after.at)}), in the later classes.`;
        }
        const who = user ? `, after an edit of ${user === state.user ? "yours" : user}` : "";
        const carried = exact ? "" : " It had another segmentation; you see it on the clusters of now.";
        return `You look at the map as it was on ${moment(at)}${who} (edit ${number}).${carried}`;
    }

    function draw() {
        const { viewed } = state;
        banner.hidden = !viewed;
        document.body.classList.toggle("is-viewing", Boolean(viewed));
        places.showBoxes(viewed?.comparison?.blocks ?? []);
        if (!viewed) return;
        byId("viewing-text").textContent = text(viewed);
        restore.hidden = Boolean(viewed.comparison);
        for (const id of Object.keys(steps)) byTestId(id).hidden = Boolean(viewed.comparison);
        byTestId("history-earlier").disabled = viewed.number <= 1;
        byTestId("history-later").disabled = viewed.number >= state.number;
    }

    for (const [id, step] of Object.entries(steps)) {
        byTestId(id).addEventListener("click", () => viewing.show(state.viewed.number + step).catch(toastError));
    }
    byTestId("history-back").addEventListener("click", () => viewing.leave());
    restore.addEventListener("click", () => {
        viewing.restore();
        toast("The earlier state is being brought back; undo returns to what was there.");
    });
    viewing.on("change", (viewed) => {
        // What changed is told by classes; clusters would cover the map with what did not.
        if (viewed?.comparison && modeBefore === null) {
            modeBefore = state.mode;
            state.setMode("classes");
        } else if (!viewed?.comparison && modeBefore !== null) {
            state.setMode(modeBefore);
            modeBefore = null;
        }
        draw();
    });
    viewing.on("busy", (busy) => banner.setAttribute("aria-busy", String(busy)));
    state.on("history", () => state.viewed && draw());
    state.on("viewed", draw);
    draw();
}
