import { csrfToken, failure } from "../../static/js/api.js";
import { formatAgo, formatBytes, formatScene } from "../../static/js/pages/format.js";
import { refusal } from "../../static/js/pages/uploads.js";
import { assert, describe, it } from "./shim.js";

describe("sizes", () => {
    it("have the decimal units of file managers", () => {
        assert.equal(formatBytes(0), "0 bytes");
        assert.equal(formatBytes(999), "999 bytes");
        assert.equal(formatBytes(1536), "1.5 KB");
        assert.equal(formatBytes(4_000_000_000), "4 GB");
        assert.equal(formatBytes(123_456), "123 KB");
    });
});

describe("times", () => {
    const now = Date.parse("2026-03-10T12:00:00Z");
    const ago = (seconds) => formatAgo(new Date(now - seconds * 1000).toISOString(), now);

    it("are told as people do", () => {
        assert.equal(ago(10), "just now");
        assert.equal(ago(-5), "just now"); // the server's clock may be ahead
        assert.equal(ago(300), "5 minutes ago");
        assert.equal(ago(3700), "1 hour ago");
        assert.equal(ago(2 * 86400), "2 days ago");
        assert.equal(ago(30 * 86400), "Feb 8, 2026");
    });
});

describe("scenes", () => {
    const facts = (info) => formatScene(info).replaceAll("\u00a0", " ");

    it("are told by size, bands and pixel size", () => {
        assert.equal(facts({ width: 1536, height: 768, n_bands: 4, gsd_m: 10 }), "1,536 × 768 pixels · 4 bands · 10 m");
        assert.equal(facts({ width: 10, height: 5, n_bands: 1, gsd_m: 0.05 }), "10 × 5 pixels · 1 band · 5 cm");
        assert.equal(facts({ width: 10, height: 5, n_bands: 1, gsd_m: null }), "10 × 5 pixels · 1 band · no coordinates");
    });
});

describe("files to send", () => {
    const limits = { suffixes: [".tif", ".png"], maxUploadBytes: 2000 };

    it("may go by suffix and size", () => assert.equal(refusal({ name: "A.TIF", size: 2000 }, limits), ""));

    it("are refused with a sentence", () => {
        assert.equal(refusal({ name: "a.txt", size: 1 }, limits), "This is not an image we read; send one of .tif, .png.");
        assert.equal(refusal({ name: "a.tif", size: 0 }, limits), "The file is empty; choose it again.");
        assert.equal(refusal({ name: "a.tif", size: 2001 }, limits), "The file has 2 KB; at most 2 KB can be sent.");
    });
});

describe("answers of the server", () => {
    it("that failed are told in its own sentence", () => {
        const error = failure(409, '{"detail": "The scene is still being imported."}');
        assert.equal(error.message, "The scene is still being imported.");
        assert.equal(error.status, 409);
    });

    it("that failed without one are told by their status", () => {
        assert.equal(failure(413, "<html>").message, "That is larger than the server takes.");
        assert.equal(failure(401, "").message, "Your sign-in has ended. Reload the page to sign in again.");
        assert.equal(failure(502, '{"detail": 7}').message, "The server answered with an error (502). Please try again.");
    });

    it("carry the token of the cookie", () => {
        assert.equal(csrfToken("a=1; csrftoken=x%3Dy; b=2"), "x=y");
        assert.equal(csrfToken("xcsrftoken=1"), "");
    });
});
