/** Keeps the state in step with the server: commands up, events down in order, nothing lost on a broken line. */
import { inflate } from "./model/blocks.js";
import { isPrediction, readPrediction } from "./model/completion.js";
import { Emitter } from "./model/emitter.js";
import { Pace } from "./model/pace.js";

const MOST_ON_THEIR_WAY = 100; // commands sent and not answered; the server reads 200 ahead

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
 * Events: "loaded" (a connection has told where the project stands: by a state, or by the edits missed since the last one), "applied" ({event, command}), "rejected" ({event, command}), "statistics",
 * "completion-failed" (the decoder's table could not be made), "restored" ({count} of commands that outlived a reload), "held-back" ({count,
 * user}: somebody else is signed in now, so that theirs wait), "failed" (an Error in a message's handling).
 */
export class Sync extends Emitter {
    #queue = Promise.resolve();
    #sent = new Set(); // client ids of pending commands that went out on this connection
    #loadedHere = false; // whether this connection has told us where the project stands
    #awaitsState = false; // whether the state was asked for anew
    #isWhole = false; // whether what the page shows is the project as of the newest edit it knows
    #goesOnTo = null; // number of the newest edit that a connection which goes on from there owes us
    #pace = new Pace();
    #paceTimer = 0;
    #heldFor = null; // user whose kept commands were taken up
    refusal = null; // (fields of a command) => why it cannot be done on this page now, or ""

    /**
     * @param {import("./state.js").ProjectState} state
     * @param {import("./socket.js").ProjectSocket} socket
     * @param {import("./kept.js").KeptCommands | null} kept
     */
    constructor(state, socket, kept = null) {
        super();
        this.kept = kept;
        this.state = state;
        this.socket = socket;
        socket.on("message", (message) => this.#enqueue(() => this.#handle(message)));
        socket.on("binary", (buffer) => {
            if (isPrediction(buffer)) this.#enqueue(async () => state.setPrediction(await readPrediction(buffer)));
        });
        // A new connection goes on from the edit that we know, or begins with the whole state; both tell what became of our commands.
        socket.query = () => (this.#isWhole ? `?since=${state.number}&at=${encodeURIComponent(state.at)}` : "");
        socket.on("status", () => {
            this.#sent.clear();
            clearTimeout(this.#paceTimer);
            this.#loadedHere = false;
            this.#awaitsState = false;
            this.#goesOnTo = null;
            state.emit("history");
        });
    }

    /** One message after the other, though unpacking a state takes a moment. */
    #enqueue(action) {
        this.#queue = this.#queue.then(action).catch((error) => {
            this.#isWhole = false; // who knows what was left half-done
            this.emit("failed", error);
        });
    }

    async #handle(message) {
        switch (message.type) {
            case "project.state":
                await this.#takeState(message);
                this.#inStep();
                this.emit("loaded", message);
                break;
            case "project.resumed":
                this.#holdBack(message.user);
                this.state.resume(message);
                this.#restore(message.user);
                this.#goesOnTo = message.number;
                this.#arrive();
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

    async #takeState(message) {
        const table = await unpackTable(message.table);
        this.#awaitsState = false;
        this.#holdBack(message.user);
        this.state.load(message, table);
        this.#isWhole = true;
        this.#goesOnTo = null;
        this.#restore(message.user);
    }

    /** What one person made is not sent under another's name: it waits until they are back. */
    #holdBack(user) {
        const { user: before, pending } = this.state;
        if (!before || before === user || !pending.length) return;
        this.#keep();
        const count = pending.length;
        for (const { client_id: id } of [...pending]) this.state.reject(id);
        this.emit("held-back", { count, user: before });
    }

    /** Take up what this person made in this tab before it was reloaded, or before somebody else signed in. */
    #restore(user) {
        if (!this.kept || this.#heldFor === user) return;
        this.#heldFor = user;
        const known = new Set(this.state.pending.map(({ client_id: id }) => id));
        const found = this.kept.load(user).filter(({ client_id: id }) => !known.has(id));
        // Older than what was made since the page was opened.
        const newer = this.state.pending.splice(0);
        for (const command of [...found, ...newer]) this.state.addPending(command);
        if (found.length) this.emit("restored", { count: found.length });
        this.#keep();
    }

    /** Where the edits that were missed have come, this connection has told where the project stands. */
    #arrive() {
        if (this.#goesOnTo === null || this.state.number < this.#goesOnTo) return;
        this.#goesOnTo = null;
        this.#inStep();
        this.emit("loaded");
    }

    #keep() {
        if (this.state.user) this.kept?.save(this.state.user, this.state.pending);
    }

    /** Give up all that waits, as where the project is gone. @returns {number} how many */
    dropAll() {
        const dropped = [...this.state.pending];
        for (const { client_id: id } of dropped) this.state.reject(id);
        this.#keep();
        return dropped.length;
    }

    #applied(event) {
        const command = this.state.pending.find(({ client_id: id }) => id === event.client_id);
        const order = this.state.apply(event);
        if (order === "gap") {
            this.#askForMissing();
            return;
        }
        this.#answered(event.client_id);
        if (order === "next" && event.reload) this.#askForState();
        if (order === "next" || command) this.emit("applied", { event, command });
        this.#arrive();
    }

    #rejected(event) {
        const command = this.state.reject(event.client_id);
        this.#answered(event.client_id);
        if (event.code === "stale") this.#askForState();
        this.emit("rejected", { event, command });
    }

    /** Whether the page shows what the server last told, nothing of it being asked for again. */
    get isInStep() {
        return this.#loadedHere && !this.#awaitsState;
    }

    #askForState() {
        this.#isWhole = false;
        this.#awaitsState = this.socket.send({ type: "state.fetch" });
    }

    #askForMissing() {
        this.socket.send({ type: "edits.since", number: this.state.number });
    }

    /** This connection is up to date: what was not confirmed goes out (again: the server knows repeats by client_id). */
    #inStep() {
        this.#loadedHere = true;
        this.#sendWaiting();
    }

    #answered(clientId) {
        this.#sent.delete(clientId);
        this.#keep();
        if (this.#loadedHere) this.#sendWaiting();
    }

    /** In the order in which they were made, each once on a connection. */
    #sendWaiting() {
        clearTimeout(this.#paceTimer);
        for (const command of this.state.pending) {
            if (this.#sent.has(command.client_id)) continue;
            if (this.#sent.size >= MOST_ON_THEIR_WAY || this.socket.status !== "online") return;
            const pause = this.#pace.take();
            if (pause) {
                this.#paceTimer = setTimeout(() => this.#sendWaiting(), pause);
                return;
            }
            if (!this.socket.send(command)) return;
            this.#sent.add(command.client_id);
        }
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
        this.#keep();
        if (this.#loadedHere) this.#sendWaiting();
        return command;
    }
}
