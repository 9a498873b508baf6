/** Keeps the state in step with the server: commands up, events down in order, nothing lost on a broken line. */
import { inflate } from "./model/blocks.js";
import { isPrediction, readPrediction } from "./model/completion.js";
import { Emitter } from "./model/emitter.js";

/** A unique name for a command. `crypto.randomUUID` is missing on plain-http pages of other machines. */
export function newClientId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function unpackTable(text) {
    if (text === null) return null;
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Uint8Array(await inflate(bytes, "deflate"));
}

/**
 * Events: "loaded" (a state was taken over), "applied" ({event, command}), "rejected" ({event, command}), "statistics",
 * "completion-failed" (the decoder's table could not be made), "failed" (an Error in a message's handling).
 */
export class Sync extends Emitter {
    #queue = Promise.resolve();
    #sent = new Set(); // client ids of pending commands that went out on this connection
    #loadedHere = false; // whether this connection has told us where the project stands
    #awaitsState = false; // whether the state was asked for anew
    refusal = null; // (fields of a command) => why it cannot be done on this page now, or ""

    /**
     * @param {import("./state.js").ProjectState} state
     * @param {import("./socket.js").ProjectSocket} socket
     */
    constructor(state, socket) {
        super();
        this.state = state;
        this.socket = socket;
        socket.on("message", (message) => this.#enqueue(() => this.#handle(message)));
        socket.on("binary", (buffer) => {
            if (isPrediction(buffer)) this.#enqueue(async () => state.setPrediction(await readPrediction(buffer)));
        });
        // A new connection begins with the whole state, which also tells what became of our commands.
        socket.on("status", () => {
            this.#sent.clear();
            this.#loadedHere = false;
            this.#awaitsState = false;
            state.emit("history");
        });
    }

    /** One message after the other, though unpacking a state takes a moment. */
    #enqueue(action) {
        this.#queue = this.#queue.then(action).catch((error) => this.emit("failed", error));
    }

    async #handle(message) {
        switch (message.type) {
            case "project.state":
                this.#awaitsState = false;
                this.state.load(message, await unpackTable(message.table));
                this.#inStep();
                this.emit("loaded", message);
                break;
            case "edit.applied":
                this.#applied(message);
                break;
            case "command.rejected":
                this.#rejected(message);
                break;
            case "segmentation.progress":
                this.state.setProgress(message);
                break;
            case "segmentations.changed":
                this.state.setSegmentations(message.segmentations, message.offered);
                break;
            case "members.changed":
                this.state.setMembers(message.members);
                break;
            case "statistics.changed":
                this.emit("statistics", message);
                break;
            case "comments.changed":
            case "versions.changed":
            case "override.progress":
            case "presence":
            case "split.progress":
            case "split.previewed":
                this.emit(message.type, message);
                break;
            case "completion.failed":
                this.emit("completion-failed", message);
                break;
            case "heartbeat":
                if (message.number > this.state.number) this.#askForMissing();
                else this.#inStep();
                break;
            default:
                throw new Error(`The server sent "${message.type}", which this page does not know; reload it.`);
        }
    }

    #applied(event) {
        const command = this.state.pending.find(({ client_id: id }) => id === event.client_id);
        const order = this.state.apply(event);
        if (order === "gap") {
            this.#askForMissing();
            return;
        }
        this.#sent.delete(event.client_id);
        if (order === "next" && event.reload) this.#askForState();
        if (order === "next" || command) this.emit("applied", { event, command });
    }

    #rejected(event) {
        const command = this.state.reject(event.client_id);
        this.#sent.delete(event.client_id);
        if (event.code === "stale") this.#askForState();
        this.emit("rejected", { event, command });
    }

    /** Whether the page shows what the server last told, nothing of it being asked for again. */
    get isInStep() {
        return this.#loadedHere && !this.#awaitsState;
    }

    #askForState() {
        this.#awaitsState = this.socket.send({ type: "state.fetch" });
    }

    #askForMissing() {
        this.socket.send({ type: "edits.since", number: this.state.number });
    }

    /** This connection is up to date: what was not confirmed goes out (again: the server knows repeats by client_id). */
    #inStep() {
        this.#loadedHere = true;
        for (const command of this.state.pending) this.#sendOnce(command);
    }

    #sendOnce(command) {
        if (this.#sent.has(command.client_id) || !this.socket.send(command)) return;
        this.#sent.add(command.client_id);
    }

    /**
     * Do something: at once here, and as soon as it can be on the server.
     * @param {object} fields a command of docs/protocol.md without its client_id
     * @returns {object} the command
     */
    dispatch(fields) {
        const command = { ...fields, client_id: newClientId() };
        const message = this.refusal?.(fields);
        if (message) {
            // As if the server had refused it, once whoever asked has its command.
            const event = { client_id: command.client_id, code: "forbidden", message };
            queueMicrotask(() => this.emit("rejected", { event, command }));
            return command;
        }
        this.state.addPending(command);
        if (this.#loadedHere) this.#sendOnce(command);
        return command;
    }
}
