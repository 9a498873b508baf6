/** Who else is here: avatars in the header, and the banner of whom one follows. */
import { describePerson, initials } from "../model/presence.js";
import { toast } from "../toast.js";
import { byId, byTestId, el } from "./dom.js";

const narrow = window.matchMedia("(max-width: 720px)");
const MOST = 5; // avatars, beyond which there is a list
const MOST_NARROW = 2;

const faceOf = ({ name, color }) => {
    const face = el("span", { class: "face", "aria-hidden": "true" }, initials(name));
    face.style.backgroundColor = color;
    return face;
};

const word = ({ role, idle }) => [role, idle && "idle"].filter(Boolean).join(" · ");

/** @param {import("../follow.js").Follow} follow */
export function peoplePanel(presence, follow) {
    const box = byTestId("people");
    const more = byTestId("people-more");
    const list = byTestId("people-list");
    let shown = "";

    const toggle = (user) => (follow.person?.user === user ? follow.stop() : follow.start(user));

    function attributes(person) {
        const isFollowed = follow.person?.user === person.user;
        const label = `${isFollowed ? "Stop following" : "Follow"} ${describePerson(person)}`;
        return {
            type: "button",
            "data-testid": "person",
            "data-user": person.user,
            "aria-pressed": String(isFollowed),
            "aria-label": label,
            onclick: () => toggle(person.user),
        };
    }

    function avatar(person) {
        const title = `${person.name} · ${word(person)} · click to follow`;
        return el("button", { ...attributes(person), class: person.idle ? "person idle" : "person", title }, faceOf(person));
    }

    function row(person) {
        const words = el("span", { class: "person-words" }, el("strong", {}, person.name), el("span", { class: "hint" }, word(person)));
        return el("li", {}, el("button", { ...attributes(person), class: person.idle ? "person-row idle" : "person-row" }, faceOf(person), words));
    }

    function openList(open) {
        list.hidden = !open;
        more.setAttribute("aria-expanded", String(open));
    }

    function show() {
        const people = presence.others;
        const room = narrow.matches ? MOST_NARROW : MOST;
        const facts = people.map(({ user, name, color, role, idle }) => [user, name, color, role, idle]);
        const key = JSON.stringify([facts, follow.person?.user ?? null, room]);
        if (key === shown) return; // somebody has only moved
        shown = key;
        const focused = document.activeElement?.closest("#people [data-user]")?.dataset.user;
        const inHeader = people.length > room ? room - 1 : people.length;
        box.hidden = !people.length;
        box.setAttribute("aria-label", people.length === 1 ? "1 other is here" : `${people.length} others are here`);
        byId("people-faces").replaceChildren(...people.slice(0, inHeader).map(avatar));
        more.hidden = people.length <= room;
        more.textContent = `+${people.length - inHeader}`;
        more.setAttribute("aria-label", `All ${people.length} others who are here`);
        list.replaceChildren(...people.map(row));
        if (more.hidden) openList(false);
        if (focused) box.querySelector(`[data-user="${focused}"]`)?.focus();
    }

    more.addEventListener("click", () => openList(list.hidden));
    box.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || list.hidden) return;
        event.stopPropagation();
        openList(false);
        more.focus();
    });
    document.addEventListener("pointerdown", (event) => box.contains(event.target) || openList(false));

    const banner = byTestId("follow-banner");
    follow.on("follow", (person) => {
        banner.hidden = !person;
        if (person) {
            byId("follow-name").textContent = person.name;
            banner.style.setProperty("--person", person.color);
            openList(false);
        }
        show();
    });
    follow.on("left", ({ name }) => toast(`${name} has left.`));
    byTestId("follow-stop").addEventListener("click", () => follow.stop());
    presence.on("people", show);
    narrow.addEventListener("change", show);
    show();
}
