import { ApiError } from "../../static/js/api.js";
import { PartedUpload, Speed, checksumOf, crc32, fingerprintOf, partsOf, waitMs } from "../../static/js/pages/parts.js";
import { partedState } from "../../static/js/pages/uploads.js";
import { assert, describe, it } from "./shim.js";

const bytes = (text) => new TextEncoder().encode(text);

/** A file of `size` bytes whose content can be changed. */
function fileOf(size, { name = "big.tif", lastModified = 1, fill = 1 } = {}) {
    const content = new Uint8Array(size).map((_, at) => (at * 31 + fill) % 251);
    return {
        name, size, lastModified, content,
        slice: (start, end) => ({ arrayBuffer: async () => content.slice(start, end).buffer }),
    };
}

/** A server in memory; `fail(call)` may throw before a part is taken in. */
function fakeServer({ fail = () => {}, hold = async () => {} } = {}) {
    const files = new Map();
    const log = { sent: [], dropped: 0, atOnce: 0, most: 0, finished: [] };
    const partAt = (url) => [...files.values()].flatMap((file) => [...file.values()]).find((part) => part.url === url);
    return {
        log, files,
        list: async () => [...files].map(([fingerprint, parts]) => ({ fingerprint, parts: [...parts.values()].map((part) => ({ ...part })) })),
        begin: async ({ part, length, fingerprint }) => {
            if (!files.has(fingerprint)) files.set(fingerprint, new Map());
            const parts = files.get(fingerprint);
            if (!parts.has(part)) parts.set(part, { part, length, offset: 0, checksum: "", url: `/u/${fingerprint}/${part}` });
            return { url: parts.get(part).url, offset: parts.get(part).offset };
        },
        send: async (url, buffer, checksum, { onProgress, signal }) => {
            log.atOnce += 1;
            log.most = Math.max(log.most, log.atOnce);
            try {
                await hold(url, signal);
                if (signal.aborted) throw new DOMException("stopped", "AbortError");
                fail(url);
                onProgress(buffer.byteLength);
                Object.assign(partAt(url), { offset: buffer.byteLength, checksum, content: new Uint8Array(buffer) });
                log.sent.push(url);
            } finally {
                log.atOnce -= 1;
            }
        },
        drop: async (url) => {
            log.dropped += 1;
            for (const parts of files.values()) for (const [key, part] of parts) if (part.url === url) parts.delete(key);
        },
        finish: async (fingerprint) => {
            const parts = [...files.get(fingerprint).values()].sort((one, other) => one.part - other.part);
            log.finished.push(parts.flatMap((part) => [...part.content]));
            files.delete(fingerprint);
            return { id: 7 };
        },
        cancel: async (fingerprint) => void files.delete(fingerprint),
    };
}

/** Wait until something holds; the test fails by its time limit where it never does. */
async function until(holds) {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const quick = { firstWaitMs: 1, longestWaitMs: 2 };

describe("parts of a file", () => {
    it("cover it without gap or overlap", () => {
        assert.same(partsOf(25, 10).map(({ start, end }) => [start, end]), [[0, 10], [10, 20], [20, 25]]);
        assert.same(partsOf(20, 10).map(({ start, end }) => [start, end]), [[0, 10], [10, 20]]);
        assert.equal(partsOf(4_000_000_000, 16 * 2 ** 20).at(-1).end, 4_000_000_000);
    });

    it("belong to a file by its name, size, time and their own size", () => {
        const base = fingerprintOf(fileOf(9), 4);
        for (const other of [fileOf(9, { name: "other.tif" }), fileOf(8), fileOf(9, { lastModified: 2 })]) {
            assert(fingerprintOf(other, 4) !== base);
        }
        assert(fingerprintOf(fileOf(9), 5) !== base);
        assert.equal(fingerprintOf(fileOf(9), 4), base);
    });
});

describe("checksums", () => {
    it("are those that everybody computes", async () => {
        assert.equal(crc32(bytes("123456789")), 0xCBF43926);
        assert.equal(await checksumOf(bytes("123456789").buffer, null), "crc32 y/Q5Jg==");
        assert.equal(await checksumOf(bytes("").buffer), "sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    });
});

describe("waiting", () => {
    it("grows with each failure up to a bound", () => {
        const options = { firstWaitMs: 1000, longestWaitMs: 30_000 };
        assert.equal(waitMs(1, options, 0.5), 1000);
        assert.equal(waitMs(4, options, 0.5), 8000);
        assert.equal(waitMs(20, options, 0.5), 30_000);
        assert(waitMs(2, options, 0) < waitMs(2, options, 1));
    });

    it("is told from the speed of the last while", () => {
        const speed = new Speed(10_000);
        assert.equal(speed.bytesPerSecond, 0);
        speed.mark(0, 0);
        speed.mark(100, 50);
        assert.equal(speed.bytesPerSecond, 0); // too early to tell
        speed.mark(1000, 1000);
        assert.equal(speed.bytesPerSecond, 1000);
        for (let second = 2; second <= 30; second++) speed.mark(second * 1000, 1000 + (second - 1) * 10);
        assert.equal(Math.round(speed.bytesPerSecond), 10);
        speed.forget();
        assert.equal(speed.bytesPerSecond, 0);
    });
});

describe("an upload in parts", () => {
    it("arrives as it was, at most three parts at once", async () => {
        const file = fileOf(1234);
        const calls = fakeServer({ hold: () => new Promise((resolve) => setTimeout(resolve, 1)) });
        const transfer = new PartedUpload(file, 100, { calls, options: quick });
        assert.same(await transfer.run(), { id: 7 });
        assert.same(calls.log.finished, [[...file.content]]);
        assert.equal(calls.log.sent.length, 13);
        assert.equal(calls.log.most, 3);
        assert.equal(transfer.share, 1);
    });

    it("goes on with what another page has sent", async () => {
        const file = fileOf(1000);
        let left = 4;
        const calls = fakeServer({ fail: () => {
            if (left-- <= 0) throw new ApiError("full", 507);
        } });
        await assert.rejects(new PartedUpload(file, 100, { calls, options: quick }).run(), /full/);
        assert.equal(calls.log.sent.length, 4);
        left = Infinity;
        await new PartedUpload(file, 100, { calls, options: quick }).run();
        assert.equal(calls.log.sent.length, 10);
        assert.same(calls.log.finished, [[...file.content]]);
    });

    it("sends parts again that are of another version of the file", async () => {
        let left = 5;
        const calls = fakeServer({ fail: () => {
            if (left-- <= 0) throw new ApiError("full", 507);
        } });
        await assert.rejects(new PartedUpload(fileOf(1000, { fill: 1 }), 100, { calls, options: quick }).run(), /full/);
        left = Infinity;
        const changed = fileOf(1000, { fill: 2 });
        await new PartedUpload(changed, 100, { calls, options: quick }).run();
        assert.equal(calls.log.dropped, 5);
        assert.same(calls.log.finished, [[...changed.content]]);
    });

    it("tries again after errors that may pass", async () => {
        const errors = [new ApiError("away", 0), new ApiError("damaged", 460), new ApiError("busy", 503), new ApiError("gone", 404), new ApiError("locked", 423)];
        const calls = fakeServer({ fail: () => {
            const error = errors.shift();
            if (error) throw error;
        } });
        const file = fileOf(300);
        await new PartedUpload(file, 100, { calls, options: quick }).run();
        assert.same(calls.log.finished, [[...file.content]]);
        assert.equal(errors.length, 0);
    });

    it("gives up after several tries, with the last reason", async () => {
        let tries = 0;
        const calls = fakeServer({ fail: () => {
            tries += 1;
            throw new ApiError(`away ${tries}`, 0);
        } });
        const transfer = new PartedUpload(fileOf(100), 100, { calls, options: { ...quick, tries: 4 } });
        await assert.rejects(transfer.run(), /away 4/);
        assert.equal(tries, 4);
    });

    it("does not try again what cannot succeed", async () => {
        for (const status of [401, 403, 413, 507]) {
            let tries = 0;
            const calls = fakeServer({ fail: () => {
                tries += 1;
                throw new ApiError("no", status);
            } });
            await assert.rejects(new PartedUpload(fileOf(100), 100, { calls, options: quick }).run(), /no/);
            assert.equal(tries, 1);
        }
    });

    it("rests while paused and goes on from there", async () => {
        let transfer;
        let paused = false;
        const calls = fakeServer({ hold: async () => {
            if (calls.log.sent.length >= 4 && !paused) {
                paused = true;
                transfer.pause();
            }
        } });
        const file = fileOf(1000);
        transfer = new PartedUpload(file, 100, { calls, options: quick });
        const running = transfer.run();
        await until(() => transfer.isPaused && calls.log.atOnce === 0);
        const before = calls.log.sent.length;
        assert(before >= 4 && before < 10);
        assert.equal(transfer.leftS, null);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(calls.log.sent.length, before);
        transfer.resume();
        await running;
        assert.same(calls.log.finished, [[...file.content]]);
        assert.equal(calls.log.sent.length, 10);
    });

    it("leaves nothing behind when it is cancelled, paused or not", async () => {
        for (const pauseFirst of [false, true]) {
            const calls = fakeServer({ hold: () => new Promise((resolve) => setTimeout(resolve, 5)) });
            const transfer = new PartedUpload(fileOf(1000), 100, { calls, options: quick });
            const running = transfer.run();
            await until(() => calls.log.atOnce > 0);
            if (pauseFirst) {
                transfer.pause();
                await until(() => calls.log.atOnce === 0);
            }
            await transfer.cancel();
            await assert.rejects(running, /AbortError/);
            assert.equal(calls.files.size, 0);
            assert.equal(calls.log.finished.length, 0);
        }
    });

    it("says so when the file cannot be read any more", async () => {
        const file = fileOf(300);
        file.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) });
        await assert.rejects(new PartedUpload(file, 100, { calls: fakeServer(), options: quick }).run(), /changed, moved or deleted/);
    });

    it("is told in a line", () => {
        const base = { share: 0.345, file: { size: 1_200_000_000 }, isPaused: false, waiting: "", bytesPerSecond: 12_000_000, leftS: 65 };
        assert.equal(partedState(base), "34 % of 1.2 GB, 12 MB/s, 1 min left");
        assert.equal(partedState({ ...base, leftS: null, bytesPerSecond: 0 }), "34 % of 1.2 GB");
        assert.equal(partedState({ ...base, isPaused: true }), "34 % of 1.2 GB, paused");
        assert.equal(partedState({ ...base, waiting: "Waiting for the server" }), "34 % of 1.2 GB, waiting for the server");
        assert.equal(partedState({ ...base, share: 1 }), "Sent, being put together");
    });
});
