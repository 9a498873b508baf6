/** Numbers and dates as people read them. */

/** 1536 -> "1.5 KB", in the decimal units of file managers. */
export function formatBytes(count) {
    const units = ["bytes", "KB", "MB", "GB", "TB"];
    let value = count;
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
        value /= 1000;
        unit += 1;
    }
    const digits = unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, "");
    return `${digits} ${units[unit]}`;
}

const STEPS = [
    [60, 1, "second"],
    [3600, 60, "minute"],
    [86400, 3600, "hour"],
    [7 * 86400, 86400, "day"],
];

/**
 * "just now", "5 minutes ago", and the date where it is longer than a week ago.
 * @param {string} iso
 * @param {number} [now] milliseconds
 */
export function formatAgo(iso, now = Date.now()) {
    const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
    if (seconds < 45) return "just now";
    for (const [below, size, unit] of STEPS) {
        if (seconds < below) {
            return new Intl.RelativeTimeFormat("en", {numeric: "always"}).format(-Math.max(1, Math.round(seconds / size)), unit);
        }
    }
    return new Intl.DateTimeFormat("en", {dateStyle: "medium"}).format(Date.parse(iso));
}

/** "1,536 × 768 pixels · 4 bands · 10 m"; lines break between the facts only. */
export function formatScene(info) {
    const bands = info.n_bands === 1 ? "1 band" : `${info.n_bands} bands`;
    const size = `${info.width.toLocaleString("en")} × ${info.height.toLocaleString("en")} pixels`;
    const facts = [size, bands, info.gsd_m ? formatGsd(info.gsd_m) : "no coordinates"];
    return facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
}

function formatGsd(metres) {
    if (metres >= 1000) return `${Number((metres / 1000).toPrecision(3))} km`;
    if (metres < 0.1) return `${Number((metres * 100).toPrecision(2))} cm`;
    return `${Number(metres.toPrecision(3))} m`;
}
