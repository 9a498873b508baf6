/** The panel at the side, a sheet at the bottom on phones: folds, and remembers which sections are open. */
import { byId, remembered } from "./dom.js";

const PHONE = "(max-width: 720px)";

export function dockPanel() {
    const dock = byId("dock");
    const toggle = byId("dock-toggle");
    const phone = window.matchMedia(PHONE);

    function fold(folded) {
        dock.classList.toggle("folded", folded);
        byId("workbench").classList.toggle("dock-folded", folded);
        toggle.setAttribute("aria-expanded", String(!folded));
    }

    toggle.addEventListener("click", () => {
        const folded = !dock.classList.contains("folded");
        fold(folded);
        if (!phone.matches) remembered.set("folded", folded);
    });
    // A phone starts with the map; a desktop as it was left.
    const start = () => fold(phone.matches || remembered.get("folded", false));
    phone.addEventListener("change", start);
    start();

    for (const section of document.querySelectorAll("details[data-remember]")) {
        const name = `open:${section.dataset.remember}`;
        section.open = remembered.get(name, section.open);
        section.addEventListener("toggle", () => remembered.set(name, section.open));
    }
}
