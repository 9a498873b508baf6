/** Which bands an imagery tile shows, and how. */

const wanted = {
    "true-color": ["red", "green", "blue"],
    "false-color": ["nir", "red", "green"],
};

/** Band number (from 1) of a role, or 0. */
export function bandOfRole(info, role) {
    return info.band_roles.indexOf(role) + 1;
}

/** Bands that hold a measurement: alpha is a mask. */
export function dataBands(info) {
    return info.band_roles.map((role, index) => (role === "alpha" ? 0 : index + 1)).filter(Boolean);
}

export function bandLabel(info, band) {
    const name = info.band_names[band - 1] || info.band_roles[band - 1];
    return name ? `${band} · ${name}` : `Band ${band}`;
}

/**
 * Presets that the scene's bands allow, true color first.
 * @returns {{id: string, label: string, bands: number[]}[]}
 */
export function presets(info) {
    const labels = { "true-color": "True color", "false-color": "False color (infrared)" };
    const found = Object.keys(wanted)
        .map((id) => ({ id, label: labels[id], bands: wanted[id].map((role) => bandOfRole(info, role)) }))
        .filter((preset) => preset.bands.every(Boolean));
    if (!found.length) {
        const bands = dataBands(info);
        const shown = bands.length >= 3 ? bands.slice(0, 3) : [bands[0], bands[0], bands[0]];
        found.push({ id: "first", label: bands.length >= 3 ? "First three bands" : "Gray", bands: shown });
    }
    return found;
}

/**
 * Indices that the bands allow.
 * @returns {{id: string, label: string, bands: number[]}[]}
 */
export function indices(info) {
    const [red, green, nir] = ["red", "green", "nir"].map((role) => bandOfRole(info, role));
    const found = [];
    if (nir && red) found.push({ id: "ndvi", label: "NDVI (vegetation)", bands: [nir, red] });
    if (nir && green) found.push({ id: "ndwi", label: "NDWI (water)", bands: [green, nir] });
    return found;
}

/**
 * Query of the imagery tiles.
 * @param {{bands: number[], index: string | null, low: number[], high: number[]}} view low and high one a band shown
 */
export function tileQuery(info, view) {
    if (view.index) {
        const index = indices(info).find((candidate) => candidate.id === view.index);
        return `index=${view.index}&index_bands=${index.bands.join(",")}`;
    }
    const gray = view.bands.every((band) => band === view.bands[0]);
    const shown = gray ? [0] : [0, 1, 2];
    const stretch = shown.map((i) => `${view.low[i]},${view.high[i]}`).join(";");
    return `bands=${shown.map((i) => view.bands[i]).join(",")}&stretch=${encodeURIComponent(stretch)}`;
}

/** Default stretch: the 2nd and 98th percentile of each band shown; a band of one value gets a width of one. */
export function defaultStretch(info, bands) {
    const pairs = bands.map((band) => info.percentiles[band - 1]);
    return { low: pairs.map(([low]) => low), high: pairs.map(([low, high]) => (high > low ? high : low + 1)) };
}

/** Check a stretch that somebody typed. */
export function checkStretch(low, high) {
    if (!Number.isFinite(low) || !Number.isFinite(high)) throw new Error("The stretch needs two numbers.");
    if (low >= high) throw new Error(`The stretch from ${low} to ${high} is empty; the first number must be lower.`);
}
