/** Asks the server for the blocks that the view needs and hands what comes to the layer. */
import { parseFrame } from "./model/blocks.js";
import { isPrediction } from "./model/completion.js";
import { debounced } from "./panels/dom.js";

const PAUSE = 80; // ms that the view must rest
const MOST = 64; // blocks in one list
const WINDOW = 6; // frames that may be on their way: edits never wait behind more

export class BlockLoader {
    #unasked = 0; // blocks that did not fit into the list sent last
    #pending = new Set(); // frames being unpacked
    #taken = 0; // frames that came on this connection

    constructor(layer, state, socket, onError) {
        this.layer = layer;
        this.state = state;
        this.socket = socket;
        this.onError = onError;
        this.ask = debounced(() => this.#ask(), PAUSE);
        layer.on("view", this.ask);
        layer.on("expired", () => {
            this.#forget();
            this.ask();
        });
        layer.on("blocks", () => {
            if (this.#unasked) this.ask();
        });
        socket.on("status", () => (this.#taken = 0));
        socket.on("binary", (buffer) => isPrediction(buffer) || this.#receive(buffer)); // the other kind is sync.js's
    }

    #missing(margin) {
        const { level, blocks } = this.layer.wanted(margin);
        return { level, blocks: blocks.filter(([row, col]) => !this.layer.cache.isComplete(level, row, col)) };
    }

    #ask() {
        const { segmentation } = this.state;
        if (!segmentation?.tree_ready || !this.layer.works) return;
        const inView = this.#missing(0);
        const around = this.#missing(this.layer.options.margin);
        const seen = new Set(inView.blocks.map(String));
        const all = [...inView.blocks, ...around.blocks.filter((block) => !seen.has(String(block)))];
        this.#unasked = Math.max(0, all.length - MOST);
        this.socket.send({
            type: "blocks.want",
            segmentation: segmentation.id,
            level: inView.level,
            blocks: all.slice(0, MOST),
            window: WINDOW,
        });
    }

    /** What is left off the list once is sent again when it is back on it. */
    #forget() {
        const { segmentation } = this.state;
        if (!segmentation?.tree_ready) return;
        this.socket.send({ type: "blocks.want", segmentation: segmentation.id, level: 0, blocks: [], window: WINDOW });
    }

    async #receive(buffer) {
        this.#taken += 1;
        if (this.#taken % (WINDOW / 2) === 0) this.socket.send({ type: "blocks.taken", frames: this.#taken });
        const token = {};
        this.#pending.add(token);
        try {
            await this.layer.addFrame(parseFrame(buffer));
        } catch (error) {
            this.onError(error);
        } finally {
            this.#pending.delete(token);
        }
    }

    /** Blocks of the view that are not there in full. */
    get wantedCount() {
        return this.#missing(0).blocks.length;
    }

    get isUnpacking() {
        return this.#pending.size > 0;
    }
}
