/**
 * Where the scene's pixels lie on the map. Positions are "plane" coordinates: Web Mercator metres, or x = column and
 * y = row for scenes without CRS. They are known exactly wherever a leaf block's mesh has arrived; before that the
 * scene's outline gives a close guess, good enough to ask for the first blocks.
 */
import { BLOCK, blockKey } from "./blocks.js";

const EARTH_RADIUS_M = 6378137; // of the sphere that Web Mercator projects
const MAX_LATITUDE = 85.0511287798;

export function mercator(lon, lat) {
    const clamped = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, lat));
    const radians = Math.PI / 180;
    return [
        EARTH_RADIUS_M * lon * radians,
        EARTH_RADIUS_M * Math.log(Math.tan(Math.PI / 4 + (clamped * radians) / 2)),
    ];
}

export function lonLatOf(x, y) {
    const degrees = 180 / Math.PI;
    return {
        lon: (x / EARTH_RADIUS_M) * degrees,
        lat: (2 * Math.atan(Math.exp(y / EARTH_RADIUS_M)) - Math.PI / 2) * degrees,
    };
}

/**
 * Position at (u, v) cells from the top left of a mesh; each cell is cut from its top left to its bottom right.
 * Outside, the nearest triangle is carried on.
 */
export function meshPosition(points, n, u, v) {
    const i = Math.max(0, Math.min(n - 2, Math.floor(u)));
    const j = Math.max(0, Math.min(n - 2, Math.floor(v)));
    const [du, dv] = [u - i, v - j];
    const at = (row, col, axis) => points[2 * (row * n + col) + axis];
    return [0, 1].map((axis) => {
        const [tl, tr] = [at(j, i, axis), at(j, i + 1, axis)];
        const [bl, br] = [at(j + 1, i, axis), at(j + 1, i + 1, axis)];
        return du >= dv ? tl + du * (tr - tl) + dv * (br - tr) : tl + dv * (bl - tl) + du * (br - bl);
    });
}

/** Solve a * p + b * q = r for [p, q]. */
function solve(a, b, r) {
    const determinant = a[0] * b[1] - a[1] * b[0];
    return [(r[0] * b[1] - r[1] * b[0]) / determinant, (a[0] * r[1] - a[1] * r[0]) / determinant];
}

/** Inverse of `meshPosition`: [u, v]. */
export function meshLocate(points, n, x, y) {
    const last = n - 1;
    const at = (row, col) => [points[2 * (row * n + col)], points[2 * (row * n + col) + 1]];
    const minus = (p, q) => [p[0] - q[0], p[1] - q[1]];
    const target = [x, y];
    const corner = at(0, 0);
    let [u, v] = solve(minus(at(0, last), corner), minus(at(last, 0), corner), minus(target, corner)).map((t) => t * last);
    // A mesh is nearly affine, so the walk from the affine guess to the right cell takes a step or two.
    for (let step = 0; step < 12; step++) {
        const i = Math.max(0, Math.min(n - 2, Math.floor(u)));
        const j = Math.max(0, Math.min(n - 2, Math.floor(v)));
        const [tl, tr, bl, br] = [at(j, i), at(j, i + 1), at(j + 1, i), at(j + 1, i + 1)];
        let [du, dv] = solve(minus(tr, tl), minus(br, tr), minus(target, tl));
        if (dv > du) [dv, du] = solve(minus(bl, tl), minus(br, bl), minus(target, tl));
        [u, v] = [i + du, j + dv];
        const settled = Math.max(0, Math.min(n - 2, Math.floor(u))) === i && Math.max(0, Math.min(n - 2, Math.floor(v))) === j;
        if (settled) break;
    }
    return [u, v];
}

/** A mesh over the whole scene, blended from its outline (Coons 1967): right at the edges, close inside. */
function outlineMesh(info) {
    const ring = info.outline.slice(0, -1).map(([x, y]) => (info.crs ? mercator(x, y) : [x, y]));
    const perSide = Math.floor(ring.length / 4);
    const at = (index) => ring[((index % ring.length) + ring.length) % ring.length];
    const n = perSide + 1;
    const points = new Float64Array(n * n * 2);
    const [tl, tr, br, bl] = [0, 1, 2, 3].map((side) => at(side * perSide));
    for (let j = 0; j < n; j++) {
        for (let i = 0; i < n; i++) {
            const [u, v] = [i / perSide, j / perSide];
            const [top, right, bottom, left] = [at(i), at(perSide + j), at(3 * perSide - i), at(4 * perSide - j)];
            for (let axis = 0; axis < 2; axis++) {
                const edges = (1 - v) * top[axis] + v * bottom[axis] + (1 - u) * left[axis] + u * right[axis];
                const corners =
                    (1 - u) * (1 - v) * tl[axis] + u * (1 - v) * tr[axis] + u * v * br[axis] + (1 - u) * v * bl[axis];
                points[2 * (j * n + i) + axis] = edges - corners;
            }
        }
    }
    return { n, points, top: 0, left: 0, height: info.height, width: info.width };
}

export class SceneGrid {
    #meshes = new Map();
    #levels = 0;

    /** @param {object} info scene description's `info` */
    constructor(info) {
        this.info = info;
        this.outline = info.crs ? outlineMesh(info) : null;
    }

    /** Keep the positions of a block; they stay after its texture has gone. */
    addMesh(frame) {
        const key = blockKey(frame.level, frame.row, frame.col);
        if (this.#meshes.has(key)) return;
        const scale = 2 ** frame.level;
        this.#meshes.set(key, {
            n: frame.n,
            points: frame.mesh.slice(), // the frame's buffer would keep its payload alive
            top: frame.row * BLOCK * scale,
            left: frame.col * BLOCK * scale,
            height: frame.usedHeight * scale,
            width: frame.usedWidth * scale,
        });
        this.#levels = Math.max(this.#levels, frame.level + 1);
    }

    #meshAt(row, col, level) {
        const side = BLOCK * 2 ** level;
        return this.#meshes.get(blockKey(level, Math.floor(row / side), Math.floor(col / side)));
    }

    #finestMesh(row, col) {
        const inside = (value, limit) => Math.max(0, Math.min(limit - 1e-9, value));
        const [r, c] = [inside(row, this.info.height), inside(col, this.info.width)];
        for (let level = 0; level < this.#levels; level++) {
            const mesh = this.#meshAt(r, c, level);
            if (mesh) return mesh;
        }
        return this.outline;
    }

    /** Plane position of a point on the pixel grid; the center of pixel (row, col) is at (row + 0.5, col + 0.5). */
    toPlane(row, col) {
        if (!this.info.crs) return [col, row];
        const mesh = this.#finestMesh(row, col);
        const u = ((col - mesh.left) / mesh.width) * (mesh.n - 1);
        const v = ((row - mesh.top) / mesh.height) * (mesh.n - 1);
        return meshPosition(mesh.points, mesh.n, u, v);
    }

    /** Point on the pixel grid, fractions included, possibly outside of the scene. */
    toPixel(x, y) {
        if (!this.info.crs) return { row: y, col: x };
        let pixel = this.#locate(this.outline, x, y);
        for (let level = this.#levels - 1; level >= 0; level--) {
            const mesh = this.#meshAt(
                Math.max(0, Math.min(this.info.height - 1, pixel.row)),
                Math.max(0, Math.min(this.info.width - 1, pixel.col)),
                level,
            );
            if (mesh) pixel = this.#locate(mesh, x, y);
        }
        return pixel;
    }

    #locate(mesh, x, y) {
        const [u, v] = meshLocate(mesh.points, mesh.n, x, y);
        return {
            row: mesh.top + (v / (mesh.n - 1)) * mesh.height,
            col: mesh.left + (u / (mesh.n - 1)) * mesh.width,
        };
    }

    contains({ row, col }) {
        return row >= 0 && col >= 0 && row < this.info.height && col < this.info.width;
    }
}
