/** Presence: tells the others where this page is and what its pointer is at, and keeps where they are. */
import { Emitter } from "./model/emitter.js";
import { People, viewBox } from "./model/presence.js";
import { throttled } from "./panels/dom.js";

const defaults = {
    pause: 110, // ms between two words of ours: the server takes ten a second
    idleAfter: 60_000, // ms without input
};

const INPUT = ["pointermove", "pointerdown", "keydown", "wheel"];
const rounded = (values, digits) => values.map((value) => Number(value.toFixed(digits)));

/** Events: "people" (who is here, or where, has changed). */
export class Presence extends Emitter {
    #people = new People();
    #parts = null; // map, layer, tools, once they are there
    #pointer = { point: null, leaf: null };
    #idle = false;
    #idleTimer = 0;
    #told = "";
    #others = [];
    followed = null; // whose view this page shows

    constructor(state, socket, sync, options = {}) {
        super();
        Object.assign(this, { state, socket });
        this.options = { ...defaults, ...options };
        this.tell = throttled(() => this.#tell(), this.options.pause);
        sync.on("presence", (event) => {
            this.#people.apply(event);
            this.#changed();
        });
        socket.on("status", () => {
            this.#told = "";
            this.#people.clear(); // a new connection is told anew
            this.#changed();
        });
        sync.on("loaded", () => this.tell());
        state.on("clusters", () => this.tell());
        for (const event of INPUT) window.addEventListener(event, () => this.#awake(), { passive: true, capture: true });
        document.addEventListener("visibilitychange", () => this.#awake());
        this.#awake();
    }

    /** Everybody else who is here, each once. */
    get others() {
        return this.#others;
    }

    attach(map, layer, tools) {
        this.#parts = { map, layer };
        map.on("moveend zoomend resize", () => this.tell());
        tools.on("hover", ({ point, leaf }) => {
            this.#pointer = { point: point && layer.containerToPixel(point), leaf };
            this.tell();
        });
    }

    #changed() {
        const wasAlone = !this.#others.length;
        this.#others = this.#people.others(this.state.user);
        this.emit("people");
        if (wasAlone !== !this.#others.length) this.tell();
    }

    #awake() {
        clearTimeout(this.#idleTimer);
        if (!document.hidden) this.#idleTimer = setTimeout(() => this.#setIdle(true), this.options.idleAfter);
        this.#setIdle(document.hidden);
    }

    #setIdle(idle) {
        if (idle === this.#idle) return;
        this.#idle = idle;
        this.tell();
    }

    #view() {
        // Whoever follows somebody passes that view on: two who follow each other would drive each other out.
        if (this.followed?.view) return this.followed.view;
        const { map, layer } = this.#parts;
        const size = map.getSize();
        const middle = layer.containerToPixel({ x: size.x / 2, y: size.y / 2 });
        return rounded(viewBox(middle, layer.pixelScale(), size), 2);
    }

    #tell() {
        if (this.socket.status !== "online" || !this.state.project) return;
        const said = { type: "presence", point: null, leaf: null, view: null, cut: this.state.cut, idle: this.#idle };
        // Nobody is there to see where an only visitor points.
        if (this.#parts && this.#others.length) {
            const { point, leaf } = this.#pointer;
            const at = point ? rounded([point.row, point.col], 2) : null;
            if (at?.every(Number.isFinite)) Object.assign(said, { point: at, leaf });
            const view = this.#view();
            if (view.every(Number.isFinite)) said.view = view;
        }
        const text = JSON.stringify(said);
        if (text !== this.#told && this.socket.send(said)) this.#told = text;
    }
}
