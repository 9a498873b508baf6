/**
 * The project's websocket: reconnects, keeps what was not sent, knows nothing of the messages' meaning.
 */
import { Emitter } from "./model/emitter.js";

const defaults = {
    firstDelay: 500, // ms before the first new attempt; doubles each time
    longestDelay: 15000, // ms
    silence: 12000, // ms without any message (heartbeats come every 5 s) after which the line counts as dead
    WebSocket: globalThis.WebSocket,
    random: Math.random,
    now: () => Date.now(), // goes on while the machine sleeps, which timers do not
};

const NO_SUCH_PROJECT = 4404;

/**
 * Pause before reconnect attempt `attempt` (from 0): doubling, and spread over its upper half, so that the browsers of
 * a restarted server do not all come at once.
 */
export function backoff(attempt, { firstDelay, longestDelay, random }) {
    const longest = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempt, 30));
    return longest * (0.5 + 0.5 * random());
}

/**
 * Emits "status" ("connecting" | "online" | "offline" | "signed-out" | "gone"), "message" (parsed JSON), "binary" (ArrayBuffer) and
 * "refused" (the server, or nobody, answered a dial).
 */
export class ProjectSocket extends Emitter {
    #socket = null;
    #attempt = 0;
    #reconnectTimer = 0;
    #silenceTimer = 0;
    #closed = false;
    #heardAt = 0;

    constructor(url, options = {}) {
        super();
        this.url = url;
        this.query = () => ""; // told with each dial
        this.options = { ...defaults, ...options };
        this.status = "connecting";
    }

    connect() {
        clearTimeout(this.#reconnectTimer);
        this.#hangUp();
        this.#closed = false;
        const socket = new this.options.WebSocket(this.url + this.query());
        socket.binaryType = "arraybuffer";
        this.#socket = socket;
        this.#watchSilence();
        socket.onopen = () => {
            if (socket !== this.#socket) return;
            this.#setStatus("online");
        };
        socket.onmessage = ({ data }) => {
            if (socket !== this.#socket) return;
            this.#attempt = 0; // not when it opens: a server may take calls and end each at once
            this.#watchSilence();
            if (typeof data === "string") this.emit("message", JSON.parse(data));
            else this.emit("binary", data);
        };
        socket.onclose = ({ code }) => {
            if (socket !== this.#socket) return;
            const refused = this.status !== "online";
            this.#onClose(code);
            if (refused && this.status === "offline") this.emit("refused");
        };
    }

    #onClose(code) {
        clearTimeout(this.#silenceTimer);
        this.#socket = null;
        if (this.#closed) return;
        if (code === NO_SUCH_PROJECT) {
            this.#setStatus("gone");
            return;
        }
        this.#setStatus("offline");
        this.#reconnectTimer = setTimeout(() => this.connect(), backoff(this.#attempt++, this.options));
    }

    #watchSilence() {
        clearTimeout(this.#silenceTimer);
        this.#heardAt = this.options.now();
        // A line that died without a word would take minutes to be noticed: give it up, and dial again.
        this.#silenceTimer = setTimeout(() => this.lost(), this.options.silence);
    }

    /** Let go of a socket whose end does not matter any more. */
    #hangUp() {
        const socket = this.#socket;
        this.#socket = null;
        clearTimeout(this.#silenceTimer);
        socket?.close();
    }

    /** The line is known to be dead: say so at once, and dial after a pause. */
    lost() {
        if (!this.#socket) return;
        this.#hangUp();
        this.#onClose(0);
    }

    /** The server let nobody in because the person is not signed in: there is no use in dialing until they are. */
    signedOut() {
        if (this.status !== "offline" && this.status !== "gone") return;
        clearTimeout(this.#reconnectTimer);
        this.#hangUp();
        this.#setStatus("signed-out");
    }

    #setStatus(status) {
        if (status === this.status) return;
        this.status = status;
        this.emit("status", status);
    }

    /** @returns {boolean} whether the message went out; if not, it is the caller's to send again */
    send(message) {
        if (this.status !== "online" || this.#socket?.readyState !== 1) return false;
        this.#socket.send(JSON.stringify(message));
        return true;
    }

    /** The network, or the person, is back: dial at once, also where a long sleep has left a line that only looks alive. */
    wake() {
        if (this.status === "online" && this.options.now() - this.#heardAt > this.options.silence) this.lost();
        if (this.status !== "offline" && this.status !== "signed-out") return;
        this.#attempt = 0;
        this.#setStatus("offline");
        this.connect();
    }

    close() {
        this.#closed = true;
        clearTimeout(this.#reconnectTimer);
        clearTimeout(this.#silenceTimer);
        this.#socket?.close();
    }
}
