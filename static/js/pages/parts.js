/**
 * One large file, sent in parts by tus 1.0 (docs/protocol.md, "Uploads"): up to three at once, each with its checksum, again
 * after an error. What the server has of the same file, from before a reload or a restart, is not sent again.
 */

import {ApiError, csrfToken, failure, get} from "../api.js";

export const defaults = {
    parallel: 3, // parts on their way at once
    tries: 8, // of one part, one after the other without success
    firstWaitMs: 1000, // after the first failure; doubled after each further one
    longestWaitMs: 30_000,
    speedWindowMs: 20_000, // over which the speed is measured
};

const TUS = {"Tus-Resumable": "1.0.0"};
const GONE_WRONG_FOR_GOOD = [400, 401, 403, 413, 415, 507];

/**
 * Where the parts of a file begin and end.
 * @param {number} size bytes
 * @param {number} partBytes
 * @returns {{part: number, start: number, end: number}[]}
 */
export function partsOf(size, partBytes) {
    const count = Math.ceil(size / partBytes);
    return Array.from({length: count}, (_, part) => ({part, start: part * partBytes, end: Math.min(size, (part + 1) * partBytes)}));
}

/** What tells a file from others after a reload, as far as a page can know it; the parts' size with it. */
export const fingerprintOf = (file, partBytes) => `${file.name.slice(-200)}|${file.size}|${file.lastModified}|${partBytes}`;

/** How long to wait before try `n` (from 1), with some chance in it so that many do not come back at once. */
export function waitMs(n, {firstWaitMs, longestWaitMs} = defaults, chance = Math.random()) {
    return Math.min(longestWaitMs, firstWaitMs * 2 ** (n - 1)) * (0.75 + chance / 2);
}

/** Bytes a second over the last while, from what had been sent when. */
export class Speed {
    constructor(windowMs = defaults.speedWindowMs) {
        this._windowMs = windowMs;
        this._marks = [];
    }

    /** @param {number} now ms @param {number} bytes sent until now */
    mark(now, bytes) {
        this._marks.push([now, bytes]);
        while (this._marks.length > 2 && this._marks[1][0] < now - this._windowMs) this._marks.shift();
    }

    /** After a pause the time before it says nothing. */
    forget() {
        this._marks = [];
    }

    get bytesPerSecond() {
        if (this._marks.length < 2) return 0;
        const [[begin, before], [end, after]] = [this._marks[0], this._marks.at(-1)];
        return end - begin < 500 ? 0 : Math.max(0, (after - before) * 1000 / (end - begin));
    }
}

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** CRC-32 as zlib computes it. @param {Uint8Array} bytes */
export function crc32(bytes) {
    let value = ~0;
    for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 255] ^ (value >>> 8);
    return ~value >>> 0;
}

const CRC_TABLE = Int32Array.from({length: 256}, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320 ^ (value >>> 1) : value >>> 1;
    return value;
});

/**
 * Checksum of some bytes as tus writes it. Pages that came over plain http have no SHA-256 and take CRC-32.
 * @param {ArrayBuffer} buffer
 * @param {SubtleCrypto|undefined} subtle
 * @param {string} [algorithm] the one wanted; the best there is without
 */
export async function checksumOf(buffer, subtle = globalThis.crypto?.subtle, algorithm = subtle ? "sha256" : "crc32") {
    if (algorithm === "crc32") {
        const value = crc32(new Uint8Array(buffer));
        return `crc32 ${base64([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])}`;
    }
    return `sha256 ${base64(new Uint8Array(await subtle.digest("SHA-256", buffer)))}`;
}

const encode = (text) => base64(new TextEncoder().encode(text));

/** What the upload asks of the server; another object in tests. */
export const server = {
    /** Unfinished files of this user. */
    list: () => get("/api/uploads"),

    /** @returns {Promise<{url: string, offset: number}>} */
    async begin({part, length, file, fingerprint}) {
        const metadata = {filename: file.name, fingerprint, part, total: file.size};
        const response = await request("POST", "/api/uploads", {
            "Upload-Length": String(length),
            "Upload-Concat": "partial",
            "Upload-Metadata": Object.entries(metadata).map(([key, value]) => `${key} ${encode(String(value))}`).join(","),
        });
        return {url: response.headers.get("Location"), offset: Number(response.headers.get("Upload-Offset"))};
    },

    /** One part as a whole. XMLHttpRequest, because fetch cannot tell how much of a body has gone out. */
    send(url, buffer, checksum, {onProgress, signal}) {
        return new Promise((resolve, reject) => {
            const call = new XMLHttpRequest();
            call.open("PATCH", url);
            const headers = {
                ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Upload-Checksum": checksum,
                "X-CSRFToken": csrfToken(), Accept: "application/json",
            };
            for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
            call.upload.onprogress = (event) => onProgress(event.loaded);
            call.onload = () => call.status === 204 ? resolve() : reject(failure(call.status, call.responseText));
            call.onerror = () => reject(new ApiError("The server cannot be reached. Check the connection, then try again.", 0));
            call.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
            signal.addEventListener("abort", () => call.abort(), {once: true});
            call.send(buffer);
        });
    },

    drop: (url) => request("DELETE", url, {}),

    /** @returns {Promise<object>} the scene */
    async finish(fingerprint, file) {
        // All parts of the file: their addresses would be more than a proxy takes in a header.
        const metadata = `filename ${encode(file.name)},fingerprint ${encode(fingerprint)}`;
        const headers = {"Upload-Concat": "final;", "Upload-Metadata": metadata};
        return (await request("POST", "/api/uploads", headers)).json();
    },

    cancel: (fingerprint) => request("DELETE", `/api/uploads?fingerprint=${encodeURIComponent(fingerprint)}`, {}),
};

async function request(method, path, headers) {
    let response;
    try {
        response = await fetch(path, {
            method, credentials: "same-origin", redirect: "error",
            headers: {...TUS, Accept: "application/json", "X-CSRFToken": csrfToken(), ...headers},
        });
    } catch {
        throw new ApiError("The server cannot be reached. Check the connection, then try again.", 0);
    }
    if (!response.ok) throw failure(response.status, await response.text());
    return response;
}

const wait = (ms, signal) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
    }, {once: true});
});

export class PartedUpload {
    /**
     * @param {File} file
     * @param {number} partBytes
     * @param {{onChange?: () => void, calls?: typeof server, options?: Partial<typeof defaults>, now?: () => number}} [more]
     */
    constructor(file, partBytes, {onChange = () => {}, calls = server, options = {}, now = () => performance.now()} = {}) {
        this.file = file;
        this.fingerprint = fingerprintOf(file, partBytes);
        this.isPaused = false;
        this.waiting = ""; // why nothing moves just now
        this._parts = partsOf(file.size, partBytes).map((part) => ({...part, url: "", isDone: false, sent: 0}));
        this._calls = calls;
        this._options = {...defaults, ...options};
        this._now = now;
        this._onChange = onChange;
        this._speed = new Speed(this._options.speedWindowMs);
        this._stop = new AbortController();
        this._isCancelled = false;
        this._resume = () => {};
    }

    /** Bytes that are there or on their way. */
    get sentBytes() {
        return this._parts.reduce((sum, part) => sum + (part.isDone ? part.end - part.start : part.sent), 0);
    }

    get share() {
        return this.sentBytes / this.file.size;
    }

    /** Seconds that it takes yet, null while that is not known. */
    get leftS() {
        const speed = this._speed.bytesPerSecond;
        return this.isPaused || !speed ? null : (this.file.size - this.sentBytes) / speed;
    }

    get bytesPerSecond() {
        return this.isPaused ? 0 : this._speed.bytesPerSecond;
    }

    pause() {
        if (this.isPaused) return;
        this.isPaused = true;
        this._stop.abort();
        this._onChange();
    }

    resume() {
        if (!this.isPaused) return;
        this.isPaused = false;
        this._resume();
        this._onChange();
    }

    /** Stop for good, and have the server forget what it has. */
    async cancel() {
        this._isCancelled = true;
        this._stop.abort();
        this._resume();
        await this._calls.cancel(this.fingerprint);
    }

    /**
     * Send what the server lacks and have the parts put together.
     * @returns {Promise<object>} the scene; rejects with an AbortError once it was cancelled
     */
    async run() {
        for (;;) {
            this._throwIfCancelled();
            if (this.isPaused) await new Promise((resolve) => { this._resume = resolve; });
            this._throwIfCancelled();
            this._stop = new AbortController();
            this._speed.forget();
            try {
                await this._retry(() => this._compare());
                await this._sendAll();
                return await this._retry(() => this._calls.finish(this.fingerprint, this.file));
            } catch (error) {
                if (error.name !== "AbortError") throw error;
            }
        }
    }

    _throwIfCancelled() {
        if (this._isCancelled) throw new DOMException("The upload was cancelled.", "AbortError");
    }

    /** See what the server has of this file. A part counts if it is whole and its checksum is that of the file here. */
    async _compare() {
        const there = (await this._calls.list()).find((file) => file.fingerprint === this.fingerprint);
        const known = new Map((there?.parts ?? []).map((part) => [part.part, part]));
        for (const part of this._parts) {
            const found = known.get(part.part);
            part.sent = 0;
            part.url = found?.url ?? "";
            if (!found || found.offset !== part.end - part.start) {
                part.isDone = false;
            } else if (!part.isDone || part.checksum !== found.checksum) {
                part.isDone = await this._isSame(part, found.checksum);
                if (!part.isDone) {
                    await this._calls.drop(part.url); // of a file that has changed since
                    part.url = "";
                }
            }
            if (this._stop.signal.aborted) throw new DOMException("stopped", "AbortError");
            this._onChange();
        }
    }

    async _isSame(part, checksum) {
        const algorithm = checksum.split(" ")[0];
        if (!["sha256", "crc32"].includes(algorithm) || (algorithm === "sha256" && !globalThis.crypto?.subtle)) return false;
        part.checksum = checksum;
        return await checksumOf(await this._read(part), globalThis.crypto?.subtle, algorithm) === checksum;
    }

    async _read(part) {
        try {
            return await this.file.slice(part.start, part.end).arrayBuffer();
        } catch {
            throw new ApiError("The file cannot be read any more: it was changed, moved or deleted. Choose it again.", 400);
        }
    }

    async _sendAll() {
        const queue = this._parts.filter((part) => !part.isDone);
        const work = async () => {
            for (let part = queue.shift(); part; part = queue.shift()) {
                const current = part;
                await this._retry(() => this._sendOne(current));
            }
        };
        const stopped = (error) => {
            queue.length = 0;
            this._stop.abort();
            throw error;
        };
        // All have to be still before anything else is done with the parts.
        const ended = await Promise.allSettled(Array.from({length: this._options.parallel}, () => work().catch(stopped)));
        const errors = ended.filter((one) => one.status === "rejected").map((one) => one.reason);
        if (errors.length) throw errors.find((error) => error.name !== "AbortError") ?? errors[0];
    }

    async _sendOne(part) {
        const buffer = await this._read(part);
        const checksum = await checksumOf(buffer);
        const begun = await this._calls.begin({part: part.part, length: buffer.byteLength, file: this.file, fingerprint: this.fingerprint});
        part.url = begun.url;
        if (begun.offset > 0) {
            // Half of it from another client, or whole from another tab: begun afresh, as its checksum is for the whole.
            await this._calls.drop(part.url);
            throw new ApiError("The part is being sent by another page, too.", 409);
        }
        try {
            await this._calls.send(part.url, buffer, checksum, {
                signal: this._stop.signal,
                onProgress: (loaded) => {
                    part.sent = Math.min(loaded, buffer.byteLength);
                    this._moved();
                },
            });
        } catch (error) {
            part.sent = 0;
            throw error;
        }
        part.isDone = true;
        part.checksum = checksum;
        this._moved();
    }

    _moved() {
        this.waiting = "";
        this._speed.mark(this._now(), this.sentBytes);
        this._onChange();
    }

    /** Do something again, after longer and longer waits, unless trying again cannot help. */
    async _retry(step) {
        const signal = this._stop.signal;
        for (let tries = 1; ; tries++) {
            if (signal.aborted) throw new DOMException("stopped", "AbortError");
            try {
                return await step();
            } catch (error) {
                if (signal.aborted || error.name === "AbortError") throw new DOMException("stopped", "AbortError");
                if (!(error instanceof ApiError) || GONE_WRONG_FOR_GOOD.includes(error.status) || tries >= this._options.tries) throw error;
                this.waiting = error.status === 0 ? "Waiting for the server" : "Trying again";
                this._onChange();
                await wait(waitMs(tries, this._options), signal);
            }
        }
    }
}
