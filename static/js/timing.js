/** How long the page's own work takes, for the browser's developer tools and `benchmarks/page.py`. */

/**
 * Run `work` and tell how long it took as a measure "clusternet:<name>". Observers hear of it; it is not kept, or a long day
 * at the map would fill the memory.
 */
export function timed(name, work) {
    const label = `clusternet:${name}`;
    const start = performance.now();
    try {
        return work();
    } finally {
        performance.measure(label, { start });
        performance.clearMeasures(label);
    }
}
