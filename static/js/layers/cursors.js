/** The pointers of others on the map, with their names. */
import { glide } from "../model/presence.js";
import { el, svg } from "../panels/dom.js";

const defaults = {
    tau: 70, // ms in which two thirds of a way are done
    near: 0.2, // CSS pixels from the end at which a pointer is there
    margin: 24, // CSS pixels outside of the map within which a pointer is still placed
};

const ARROW = "M2 1.500v15.500l4.200-3.800 2.700 6.300 3-1.300-2.700-6.100 5.800-.4z";
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

export class CursorLayer {
    #cursors = new Map(); // user -> {element, at, to}
    #frame = 0;
    #last = 0;
    #moving = false;

    constructor(map, layer, presence, options = {}) {
        Object.assign(this, { map, layer, presence });
        this.options = { ...defaults, ...options };
        this.box = el("div", { class: "cursors", "aria-hidden": "true" });
        map.getContainer().append(this.box);
        // Amid a move or a zoom every frame has another view.
        map.on("movestart zoomstart", () => this.#setMoving(true));
        map.on("moveend zoomend", () => this.#setMoving(false));
        map.on("move resize viewreset", () => this.#soon());
        layer.on("blocks", () => this.#soon()); // positions become exact
        presence.on("people", () => this.#update());
    }

    #setMoving(moving) {
        this.#moving = moving;
        this.#soon();
    }

    #update() {
        const shown = new Map(this.presence.others.filter(({ idle, point }) => !idle && point).map((one) => [one.user, one]));
        for (const [user, { element }] of this.#cursors) {
            if (shown.has(user)) continue;
            element.remove();
            this.#cursors.delete(user);
        }
        for (const [user, person] of shown) {
            const cursor = this.#cursors.get(user);
            if (cursor) cursor.to = person.point;
            else this.#cursors.set(user, { element: this.#make(person), at: person.point, to: person.point });
        }
        this.#soon();
    }

    #make({ user, name, color }) {
        const arrow = svg("svg", { class: "cursor-arrow", width: 18, height: 22, viewBox: "0 0 17 21" }, svg("path", { d: ARROW, fill: color }));
        const label = el("span", { class: "cursor-name" }, name);
        label.style.backgroundColor = color;
        const element = el("div", { class: "cursor", "data-testid": "cursor", "data-user": user }, arrow, label);
        this.box.append(element);
        return element;
    }

    #soon() {
        if (this.#frame || (!this.#cursors.size && !this.#moving)) return;
        this.#frame = requestAnimationFrame((now) => {
            this.#frame = 0;
            const isUnderWay = this.#place(now);
            if (isUnderWay || (this.#moving && this.#cursors.size)) this.#soon();
            else this.#last = 0;
        });
    }

    /** @returns {boolean} whether a pointer has not come to its place yet */
    #place(now) {
        const { tau, near, margin } = this.options;
        const elapsed = this.#last ? now - this.#last : 16;
        this.#last = now;
        const size = this.map.getSize();
        const pixel = near / this.layer.pixelScale();
        let isUnderWay = false;
        for (const cursor of this.#cursors.values()) {
            cursor.at = still.matches ? cursor.to : glide(cursor.at, cursor.to, elapsed, tau, pixel);
            isUnderWay ||= cursor.at !== cursor.to;
            const { x, y } = this.layer.pixelToContainer(cursor.at[0] - 0.5, cursor.at[1] - 0.5);
            const isInside = x > -margin && y > -margin && x < size.x + margin && y < size.y + margin;
            cursor.element.hidden = !isInside;
            if (isInside) cursor.element.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
        }
        return isUnderWay;
    }
}
