/**
 * The project's websocket: reconnects, keeps what was not sent, knows nothing of the messages' meaning.
 */
import { Emitter } from "./model/emitter.js";

const defaults = {
    firstDelay: 500, // ms before the first new attempt; doubles each time
    longestDelay: 15000, // ms
    silence: 13000, // ms without any message (heartbeats come every 5 s) after which the line counts as dead
    WebSocket: globalThis.WebSocket,
    random: Math.random,
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

/** Emits "status" ("connecting" | "online" | "offline" | "gone"), "message" (parsed JSON) and "binary" (ArrayBuffer). */
export class ProjectSocket extends Emitter {
    #socket = null;
    #attempt = 0;
    #reconnectTimer = 0;
    #silenceTimer = 0;
    #closed = false;

    constructor(url, options = {}) {
        super();
        this.url = url;
        this.options = { ...defaults, ...options };
        this.status = "connecting";
    }

    connect() {
        clearTimeout(this.#reconnectTimer);
        this.#closed = false;
        const socket = new this.options.WebSocket(this.url);
        socket.binaryType = "arraybuffer";
        this.#socket = socket;
        this.#watchSilence();
        socket.onopen = () => {
            if (socket !== this.#socket) return;
            this.#attempt = 0;
            this.#setStatus("online");
        };
        socket.onmessage = ({ data }) => {
            if (socket !== this.#socket) return;
            this.#watchSilence();
            if (typeof data === "string") this.emit("message", JSON.parse(data));
            else this.emit("binary", data);
        };
        socket.onclose = ({ code }) => {
            if (socket === this.#socket) this.#onClose(code);
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
        this.#silenceTimer = setTimeout(() => {
            // A line that died without a word would take minutes to be noticed: give it up, and dial again.
            const socket = this.#socket;
            this.#onClose(0);
            socket?.close();
        }, this.options.silence);
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

    /** Try again at once, as when the network has just come back. */
    retryNow() {
        if (this.status !== "offline") return;
        this.#attempt = 0;
        this.connect();
    }

    close() {
        this.#closed = true;
        clearTimeout(this.#reconnectTimer);
        clearTimeout(this.#silenceTimer);
        this.#socket?.close();
    }
}
