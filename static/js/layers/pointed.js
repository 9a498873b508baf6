/** What others point at: the cluster of each, at their own granularity, outlined in their color. */
import { Clusters } from "../model/clusters.js";
import { LOOKUP_SIDE } from "../model/lookup.js";
import { pointedTexels } from "../model/presence.js";

const MOST = 8; // people whose clusters are outlined
const MOST_CUTS = 4; // granularities that are kept cut

/** Outline on `layer` what the people of `presence` point at. */
export function showPointed(state, layer, presence) {
    const cuts = new Map(); // cut -> its clusters
    let shown = "";

    function clustersAt(cut) {
        const kept = cuts.get(cut) ?? new Clusters(state.clusters.refined.base, state.splits, cut);
        cuts.delete(cut);
        cuts.set(cut, kept); // the one used last stays longest
        if (cuts.size > MOST_CUTS) cuts.delete(cuts.keys().next().value);
        return kept;
    }

    function update() {
        if (!state.clusters) return;
        const found = [];
        for (const { idle, leaf, cut, color } of presence.others) {
            if (idle || leaf === null || found.length === MOST) continue;
            const clusters = clustersAt(Math.max(1, Math.min(cut, state.tree.nLeaves)));
            const cluster = clusters.at(leaf);
            if (cluster) found.push({ color, node: cluster.node, cut, clusters });
        }
        const key = found.map(({ color, node, cut }) => `${color} ${node} ${cut}`).join();
        if (key === shown) return; // most moves stay inside a cluster
        shown = key;
        const pointed = found.map(({ color, node, clusters }) => ({ color, lights: clusters.lightsOf(node) }));
        layer.setPointed(pointed.length ? pointedTexels(pointed, LOOKUP_SIDE * LOOKUP_SIDE) : null);
    }

    presence.on("people", update);
    state.on("state", update);
    let tree = null;
    // The tree, or what was split of it.
    state.on("clusters", () => {
        const { base } = state.clusters.refined;
        if (base !== tree) shown = "";
        tree = base;
        cuts.clear();
        update();
    });
}
