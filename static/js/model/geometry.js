/** Areas of interest: reading uploaded GeoJSON, rings for dimming what lies outside. */

const HINT = "Upload GeoJSON with at least one Polygon or MultiPolygon.";

function polygonsOf(value, depth = 0) {
    if (depth > 8) throw new Error(`The GeoJSON is nested too deeply. ${HINT}`);
    switch (value?.type) {
        case "FeatureCollection":
            return (value.features ?? []).flatMap((feature) => polygonsOf(feature, depth + 1));
        case "Feature":
            return value.geometry ? polygonsOf(value.geometry, depth + 1) : [];
        case "GeometryCollection":
            return (value.geometries ?? []).flatMap((geometry) => polygonsOf(geometry, depth + 1));
        case "Polygon":
            return [value.coordinates];
        case "MultiPolygon":
            return value.coordinates ?? [];
        default:
            return [];
    }
}

function checkRing(ring) {
    const isPosition = (at) => Array.isArray(at) && at.length >= 2 && at.slice(0, 2).every(Number.isFinite);
    if (!Array.isArray(ring) || !ring.every(isPosition)) {
        throw new Error(`A ring of the GeoJSON holds something that is not a position [x, y]. ${HINT}`);
    }
    if (ring.length < 4) throw new Error(`A ring of the GeoJSON has ${ring.length} positions; a polygon needs four.`);
    const positions = ring.map((at) => at.slice(0, 2));
    const [first, last] = [positions[0], positions[positions.length - 1]];
    return first[0] === last[0] && first[1] === last[1] ? positions : [...positions, first];
}

/**
 * Every polygon of a GeoJSON text as one geometry.
 * @param {string} text
 * @param {boolean} georeferenced positions are lon/lat; else pixels
 */
export function parseAreaOfInterest(text, georeferenced) {
    let value;
    try {
        value = JSON.parse(text);
    } catch (error) {
        throw new Error(`The file is not JSON (${error.message}). ${HINT}`);
    }
    const polygons = polygonsOf(value).map((rings) => {
        if (!Array.isArray(rings) || !rings.length) throw new Error(`A polygon of the GeoJSON has no ring. ${HINT}`);
        return rings.map(checkRing);
    });
    if (!polygons.length) throw new Error(`The file holds no polygon. ${HINT}`);
    const outside = polygons.flat(2).find(([lon, lat]) => Math.abs(lon) > 540 || Math.abs(lat) > 90);
    if (georeferenced && outside) {
        throw new Error(
            `Position ${outside[0]}, ${outside[1]} is not longitude, latitude; export the file in EPSG:4326 (WGS 84).`,
        );
    }
    return polygons.length === 1
        ? { type: "Polygon", coordinates: polygons[0] }
        : { type: "MultiPolygon", coordinates: polygons };
}

/** All rings of a Polygon or MultiPolygon. */
export function ringsOf(geometry) {
    return geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.flat();
}
