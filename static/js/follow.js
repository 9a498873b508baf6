/** Following somebody: the map shows what theirs shows, until one moves it oneself. */
import { zoomForPixelSize } from "./panels/place.js";
import { toLatLng } from "./layers/view.js";
import { Emitter } from "./model/emitter.js";
import { viewOfBox } from "./model/presence.js";

const defaults = {
    apart: 6, // CSS pixels between the map's middle and where it was sent that mean that somebody else moved it
    zoomApart: 0.02, // zoom levels, likewise
    seconds: 0.3, // that a move takes
};

const still = window.matchMedia("(prefers-reduced-motion: reduce)");

/** Events: "follow" (the person, or null), "left" (the person, who has gone). */
export class Follow extends Emitter {
    #user = null;
    #sent = null; // where the map was sent last: {latlng, zoom}
    #steering = false;

    constructor(map, layer, presence, options = {}) {
        super();
        Object.assign(this, { map, layer, presence });
        this.options = { ...defaults, ...options };
        presence.on("people", () => this.#update());
        // Their own hand on the map is the end of it, before the map has even moved.
        map.on("dragstart", () => this.stop());
        map.getContainer().addEventListener("wheel", () => this.stop(), { passive: true, capture: true });
        // Not "zoomend", which comes just before it: what is steered then would meet the end of the move before.
        map.on("moveend", () => this.#check());
    }

    get person() {
        return this.presence.followed;
    }

    /** @param {number} user id */
    start(user) {
        this.#user = user;
        this.#sent = null;
        this.#update();
    }

    /** @returns {boolean} whether somebody was followed */
    stop() {
        if (this.#user === null) return false;
        this.#user = null;
        this.#sent = null;
        this.#tell(null);
        this.presence.tell();
        return true;
    }

    #tell(person) {
        const changed = person?.user !== this.person?.user;
        this.presence.followed = person;
        if (changed) this.emit("follow", person);
    }

    #update() {
        if (this.#user === null) return;
        const person = this.presence.others.find(({ user }) => user === this.#user);
        if (!person) {
            const left = this.person;
            this.stop();
            if (left) this.emit("left", left);
            return;
        }
        this.#tell(person);
        this.#steer();
    }

    #target() {
        const { map, layer } = this;
        const { row, col, scale } = viewOfBox(this.person.view, map.getSize());
        const exact = zoomForPixelSize(map, layer, layer.info, row, col, scale);
        const snap = map.options.zoomSnap || 1;
        const zoom = Math.floor(exact / snap + 0.05) * snap; // all of what they see
        const limited = Math.max(map.getMinZoom(), Math.min(map.getMaxZoom(), zoom));
        return { latlng: toLatLng(map, layer.info, layer.grid.toPlane(row, col)), zoom: limited };
    }

    #isAt({ latlng, zoom }) {
        const { map, options } = this;
        const away = map.project(map.getCenter(), zoom).distanceTo(map.project(latlng, zoom));
        return away < options.apart && Math.abs(map.getZoom() - zoom) < options.zoomApart;
    }

    #steer() {
        const { map } = this;
        // Amid a zoom Leaflet takes no orders: its end brings us back here.
        if (!this.person?.view || map._animatingZoom) return;
        const target = this.#target();
        const isNew = !this.#sent || this.#sent.zoom !== target.zoom || !this.#sent.latlng.equals(target.latlng, 1e-9);
        if (!isNew) return;
        this.#sent = target;
        this.#steering = true; // Leaflet tells of the end of the move that this one breaks off
        map.setView(target.latlng, target.zoom, { animate: !still.matches, duration: this.options.seconds });
        this.#steering = false;
    }

    /** A move came to its end: where we sent the map, or somewhere else. */
    #check() {
        if (this.#user === null || this.#steering || !this.#sent || this.map._animatingZoom) return;
        if (this.#isAt(this.#sent)) this.#steer();
        else this.stop();
    }
}
