/** Pins of notes on the map. */
import { throttled } from "../panels/dom.js";

const SIZE = [26, 32]; // CSS pixels; the tip is at the middle of the lower edge

const defaults = {
    settle: 1000, // ms between two redraws while blocks bring exact positions
};

export class CommentLayer {
    #markers = new Map(); // thread id -> marker
    #threads = [];
    #draft = null;

    /**
     * @param {import("./places.js").Places} places
     * @param {(thread: object) => void} onOpen
     */
    constructor(map, layer, places, onOpen, options = {}) {
        Object.assign(this, { map, layer, places, onOpen, options: { ...defaults, ...options } });
        map.createPane("notes").style.zIndex = 640; // over all that is drawn, under popups
        layer.on("blocks", throttled(() => this.#move(), this.options.settle));
    }

    #icon({ all, first, isSettled }) {
        const pin = L.divIcon({ className: isSettled ? "note-pin settled" : "note-pin", iconSize: SIZE, iconAnchor: [SIZE[0] / 2, SIZE[1]], html: String(all.length) });
        return { pin, color: first.author?.color ?? null };
    }

    #move() {
        for (const thread of this.#threads) this.#markers.get(thread.id)?.setLatLng(this.places.at(thread.row, thread.col));
    }

    show(threads) {
        this.#threads = threads;
        const there = new Set(threads.map(({ id }) => id));
        for (const [id, marker] of this.#markers) {
            if (there.has(id)) continue;
            marker.remove();
            this.#markers.delete(id);
        }
        for (const thread of threads) this.#put(thread);
    }

    #put(thread) {
        const { pin, color } = this.#icon(thread);
        const who = thread.first.author?.name ?? "somebody";
        const label = `Note of ${who}${thread.isSettled ? ", settled" : ""}: ${thread.all.length === 1 ? "no answer" : `${thread.all.length - 1} answers`}`;
        this.#markers.get(thread.id)?.remove();
        const marker = L.marker(this.places.at(thread.row, thread.col), { icon: pin, pane: "notes", keyboard: true, title: label, alt: label, riseOnHover: true });
        marker.on("click keypress", ({ originalEvent }) => {
            if (originalEvent?.type === "keypress" && originalEvent.key !== "Enter") return;
            this.onOpen(this.#threads.find(({ id }) => id === thread.id) ?? thread);
        });
        marker.addTo(this.map);
        const element = marker.getElement();
        element.dataset.testid = "comment-pin";
        element.setAttribute("aria-label", label);
        element.dataset.thread = String(thread.id);
        if (color) element.style.setProperty("--person", color);
        this.#markers.set(thread.id, marker);
    }

    /** A pin where a note is about to be written; null takes it away. */
    showDraft(place) {
        this.#draft?.remove();
        this.#draft = null;
        if (!place) return;
        const icon = L.divIcon({ className: "note-pin draft", iconSize: SIZE, iconAnchor: [SIZE[0] / 2, SIZE[1]], html: "+" });
        this.#draft = L.marker(this.places.at(...place), { icon, pane: "notes", interactive: false, keyboard: false }).addTo(this.map);
    }
}
