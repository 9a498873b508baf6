/** Coordinates that people type and read. */

const PIXEL_HINT = 'Type two numbers, such as "120, 340": row, then column.';
const EARTH_HINT = 'Type latitude, longitude, such as "47.5, 13" or "47°30\'N 13°E".';

const ANGLE = String.raw`([+-]?\d+(?:\.\d+)?)(?:\s*°\s*(?:(\d+(?:\.\d+)?)\s*['′]\s*)?(?:(\d+(?:\.\d+)?)\s*["″]\s*)?)?\s*([NSEWnsew])?`;
const PAIR = new RegExp(String.raw`^\s*${ANGLE}\s*[,;\s]\s*${ANGLE}\s*$`);

function degrees([whole, minutes, seconds, hemisphere]) {
    const size = Math.abs(Number(whole)) + Number(minutes ?? 0) / 60 + Number(seconds ?? 0) / 3600;
    const negative = whole.startsWith("-") !== /[SW]/i.test(hemisphere ?? "");
    return negative ? -size : size;
}

/**
 * Read a place on Earth: decimal degrees or degrees, minutes, seconds; letters may swap the order.
 * @returns {{lat: number, lon: number}}
 */
export function parseLatLon(text) {
    const match = PAIR.exec(text);
    if (!match) throw new Error(`"${text.trim()}" is not a place. ${EARTH_HINT}`);
    const parts = [match.slice(1, 5), match.slice(5, 9)];
    const axes = parts.map((part) => (part[3] ? (/[NS]/i.test(part[3]) ? "lat" : "lon") : null));
    if (axes[0] && axes[0] === axes[1]) throw new Error(`"${text.trim()}" gives ${axes[0]} twice. ${EARTH_HINT}`);
    for (const [, minutes, seconds] of parts) {
        if (Number(minutes ?? 0) >= 60 || Number(seconds ?? 0) >= 60) {
            throw new Error(`"${text.trim()}" has minutes or seconds of 60 or more. ${EARTH_HINT}`);
        }
    }
    const swapped = axes[0] === "lon" || axes[1] === "lat";
    const [lat, lon] = swapped ? [degrees(parts[1]), degrees(parts[0])] : [degrees(parts[0]), degrees(parts[1])];
    if (Math.abs(lat) > 90) throw new Error(`Latitude ${lat} is beyond 90 degrees. ${EARTH_HINT}`);
    if (Math.abs(lon) > 360) throw new Error(`Longitude ${lon} is beyond 360 degrees. ${EARTH_HINT}`);
    return { lat, lon };
}

/**
 * Read a pixel of the scene.
 * @returns {{row: number, col: number}}
 */
export function parsePixel(text, height, width) {
    const match = /^\s*([+-]?\d+(?:\.\d+)?)\s*[,;\s]\s*([+-]?\d+(?:\.\d+)?)\s*$/.exec(text);
    if (!match) throw new Error(`"${text.trim()}" is not a pixel. ${PIXEL_HINT}`);
    const [row, col] = [Number(match[1]), Number(match[2])];
    if (row < 0 || row >= height || col < 0 || col >= width) {
        throw new Error(`Row ${row}, column ${col} is outside the image of ${height} rows and ${width} columns.`);
    }
    return { row, col };
}

/** "47.50123° N, 13.00456° E" */
export function formatLatLon(lat, lon) {
    const wrapped = ((((lon + 180) % 360) + 360) % 360) - 180;
    const side = (value, positive, negative) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
    return `${side(lat, "N", "S")}, ${side(wrapped, "E", "W")}`;
}

/** "3 min left"; nothing where it is not known. */
export function formatTimeLeft(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min left`;
    return `${Math.round(seconds / 3600)} h left`;
}
