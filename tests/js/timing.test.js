import { timed } from "../../static/js/timing.js";
import { assert, describe, it } from "./shim.js";

/** What observers are told while `work` runs. */
async function heard(work) {
    const names = [];
    const observer = new PerformanceObserver((list) => names.push(...list.getEntries().map(({ name }) => name)));
    observer.observe({ entryTypes: ["measure"] });
    work();
    await new Promise((resolve) => setTimeout(resolve, 100));
    observer.disconnect();
    return names;
}

describe("timing", () => {
    it("gives back what the work gives, and tells observers", async () => {
        let result = 0;
        assert.same(await heard(() => (result = timed("test", () => 42))), ["clusternet:test"]);
        assert.equal(result, 42);
    });

    it("keeps nothing", () => {
        timed("test", () => {});
        assert.equal(performance.getEntriesByName("clusternet:test").length, 0);
    });

    it("tells of work that broke, too, and lets its error through", async () => {
        let message = "";
        const work = () => {
            try {
                timed("broken", () => {
                    throw new Error("no");
                });
            } catch (error) {
                message = error.message;
            }
        };
        assert.same(await heard(work), ["clusternet:broken"]);
        assert.equal(message, "no");
    });
});
