/** How fast waiting commands go out: below the server's limits (docs/protocol.md), so that none is refused for its haste. */

const defaults = {
    perSecond: 40, // of the 50 that the server takes
    burst: 60, // of 100
    now: () => performance.now(),
};

export class Pace {
    #tokens;
    #at;

    constructor(options = {}) {
        this.options = { ...defaults, ...options };
        this.#tokens = this.options.burst;
        this.#at = this.options.now();
    }

    /** @returns {number} 0 where one may go out now (it counts), else ms until the next may */
    take() {
        const { perSecond, burst, now } = this.options;
        const at = now();
        this.#tokens = Math.min(burst, this.#tokens + ((at - this.#at) / 1000) * perSecond);
        this.#at = at;
        if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / perSecond) * 1000);
        this.#tokens -= 1;
        return 0;
    }
}
