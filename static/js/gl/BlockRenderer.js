/** Draws leaf blocks into one WebGL2 canvas. Everything it holds can be made again from the blocks' ids. */
import { CERTAINTY_RAMP } from "../model/completion.js";
import { LOOKUP_SIDE } from "../model/lookup.js";
import { VALUES } from "../model/overrides.js";
import { SIDE } from "./apron.js";
import { meshTriangles, meshVertices } from "./mesh.js";
import { buildProgram } from "./program.js";
import { DRAW, FRAGMENT, VERTEX } from "./shaders.js";

const FLOAT_BYTES = 4;

export class BlockRenderer {
    #triangles = new Map(); // control points a side -> {buffer, count}
    #gpu = new Map(); // block -> {texture, vertices, array, center, triangles}
    #drawn = new Map(); // entry of the overrides -> texture

    /** @param {WebGL2RenderingContext} gl */
    constructor(gl) {
        this.gl = gl;
        this.shader = buildProgram(gl, VERTEX, FRAGMENT, ["position", "texel"]);
        this.colors = this.#table(gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
        this.keys = this.#table(gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT);
        this.certainty = this.#table(gl.RG8, gl.RG, gl.UNSIGNED_BYTE);
        this.lights = this.#table(gl.R8, gl.RED, gl.UNSIGNED_BYTE);
        this.lit = null; // the mask that is in there
        this.pointed = this.#table(gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
        this.pointedAt = null; // what is in there
        this.drawnColors = this.#texture();
        gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, VALUES, 1);
        this.nothingDrawn = this.#texture();
        gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R8UI, 1, 1);
        gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
        gl.enable(gl.DEPTH_TEST);
        gl.depthFunc(gl.LESS); // places drawn once are not drawn again
        gl.disable(gl.BLEND);
        gl.clearColor(0, 0, 0, 0);
    }

    /** Blocks that have textures. */
    get blockCount() {
        return this.#gpu.size;
    }

    #texture() {
        const { gl } = this;
        const texture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
        return texture;
    }

    #table(internal, format, type) {
        const texture = this.#texture();
        this.gl.texStorage2D(this.gl.TEXTURE_2D, 1, internal, LOOKUP_SIDE, LOOKUP_SIDE);
        return { texture, format, type };
    }

    /** Upload a 256 x 256 table. */
    #fill({ texture, format, type }, texels) {
        const { gl } = this;
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, LOOKUP_SIDE, LOOKUP_SIDE, format, type, texels);
    }

    /** @param {{colors: Uint8Array, keys: Uint32Array | null, certainty: Uint8Array}} tables */
    setTables({ colors, keys, certainty }) {
        this.#fill(this.colors, colors);
        this.#fill(this.certainty, certainty);
        if (keys) this.#fill(this.keys, keys);
    }

    /** @param {Uint8Array} texels red, green, blue and class number of each value that can be drawn */
    setDrawnColors(texels) {
        const { gl } = this;
        gl.bindTexture(gl.TEXTURE_2D, this.drawnColors);
        gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, VALUES, 1, gl.RGBA, gl.UNSIGNED_BYTE, texels);
    }

    /** Bring the GPU's copy of what was drawn over a block up to date. */
    #syncDrawn(entry) {
        const { gl } = this;
        const isNew = !this.#drawn.has(entry);
        if (isNew) {
            this.#drawn.set(entry, this.#texture());
            gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R8UI, SIDE, SIDE);
        }
        const texture = this.#drawn.get(entry);
        gl.bindTexture(gl.TEXTURE_2D, texture);
        if (isNew || entry.dirty) {
            gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, SIDE, SIDE, gl.RED_INTEGER, gl.UNSIGNED_BYTE, entry.values);
        }
        entry.dirty = false;
        return texture;
    }

    #trianglesOf(n) {
        if (!this.#triangles.has(n)) {
            const { gl } = this;
            const indices = meshTriangles(n);
            const buffer = gl.createBuffer();
            gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
            gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
            this.#triangles.set(n, { buffer, count: indices.length });
        }
        return this.#triangles.get(n);
    }

    #create(block) {
        const { gl } = this;
        const array = gl.createVertexArray();
        gl.bindVertexArray(array);
        const { vertices, center } = meshVertices(block.mesh, block.n, block.usedWidth, block.usedHeight);
        const buffer = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, vertices, gl.STATIC_DRAW);
        for (const index of [0, 1]) {
            gl.enableVertexAttribArray(index);
            gl.vertexAttribPointer(index, 2, gl.FLOAT, false, 4 * FLOAT_BYTES, index * 2 * FLOAT_BYTES);
        }
        const triangles = this.#trianglesOf(block.n);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, triangles.buffer);
        gl.bindVertexArray(null);
        const texture = this.#texture();
        gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16UI, SIDE, SIDE);
        return { texture, buffer, array, center, triangles };
    }

    /** Bring the GPU's copy of a block up to date. */
    #sync(block) {
        const { gl } = this;
        const isNew = !this.#gpu.has(block);
        if (isNew) this.#gpu.set(block, this.#create(block));
        const own = this.#gpu.get(block);
        gl.bindTexture(gl.TEXTURE_2D, own.texture);
        if (isNew || block.dirty === "all") this.#upload(block, 0, 0, SIDE, SIDE);
        else if (block.dirty === "apron") {
            this.#upload(block, 0, 0, SIDE, 1);
            this.#upload(block, 0, SIDE - 1, SIDE, 1);
            this.#upload(block, 0, 0, 1, SIDE);
            this.#upload(block, SIDE - 1, 0, 1, SIDE);
        }
        block.dirty = null;
        return own;
    }

    #upload(block, x, y, width, height) {
        const { gl } = this;
        gl.pixelStorei(gl.UNPACK_ROW_LENGTH, SIDE);
        gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, x);
        gl.pixelStorei(gl.UNPACK_SKIP_ROWS, y);
        gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y, width, height, gl.RED_INTEGER, gl.UNSIGNED_SHORT, block.ids);
        gl.pixelStorei(gl.UNPACK_ROW_LENGTH, 0);
        gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, 0);
        gl.pixelStorei(gl.UNPACK_SKIP_ROWS, 0);
    }

    /**
     * Draw one frame.
     * @param {object[]} blocks in order of preference: where two cover a place, the first one shows
     * @param {{width: number, height: number, scaleX: number, scaleY: number, x: number, y: number}} view device
     *     pixels of a plane position (X, Y): (X * scaleX + x, Y * scaleY + y)
     * @param {{mode: string, hover: Uint8Array | null, pointed: Uint8Array | null, lineWidth: number, hatch: number, drawnAt: (block: object) => object | null}} style
     *     device pixels; hatch 0: predicted leaves look like assigned ones; drawnAt: what was drawn by hand over a block
     */
    draw(blocks, view, style) {
        const { gl } = this;
        const { program, uniforms } = this.shader;
        const prepared = blocks.map((block) => {
            const entry = style.drawnAt?.(block) ?? null;
            return [block, this.#sync(block), entry && this.#syncDrawn(entry)];
        });
        gl.viewport(0, 0, view.width, view.height);
        gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
        gl.useProgram(program);
        if (style.hover && style.hover !== this.lit) {
            this.#fill(this.lights, style.hover);
            this.lit = style.hover;
        }
        [this.colors.texture, this.keys.texture, this.certainty.texture, this.lights.texture].forEach((texture, index) => {
            gl.activeTexture(gl.TEXTURE1 + index);
            gl.bindTexture(gl.TEXTURE_2D, texture);
        });
        if (style.pointed && style.pointed !== this.pointedAt) {
            this.#fill(this.pointed, style.pointed);
            this.pointedAt = style.pointed;
        }
        gl.activeTexture(gl.TEXTURE7);
        gl.bindTexture(gl.TEXTURE_2D, this.pointed.texture);
        gl.activeTexture(gl.TEXTURE6);
        gl.bindTexture(gl.TEXTURE_2D, this.drawnColors);
        gl.activeTexture(gl.TEXTURE0);
        gl.uniform1i(uniforms.leaves, 0);
        gl.uniform1i(uniforms.drawn, 5);
        gl.uniform1i(uniforms.drawnColors, 6);
        gl.uniform1i(uniforms.colors, 1);
        gl.uniform1i(uniforms.keys, 2);
        gl.uniform1i(uniforms.certainties, 3);
        gl.uniform1i(uniforms.lights, 4);
        gl.uniform1i(uniforms.pointed, 7);
        gl.uniform1i(uniforms.isPointedAt, style.pointed ? 1 : 0);
        gl.uniform1i(uniforms.hovering, style.hover ? 1 : 0);
        gl.uniform4fv(uniforms["ramp[0]"], CERTAINTY_RAMP.flat());
        gl.uniform2f(uniforms.canvas, view.width, view.height);
        gl.uniform2f(uniforms.scale, view.scaleX, view.scaleY);
        gl.uniform1i(uniforms.drawing, DRAW[style.mode] ?? DRAW.colors);
        gl.uniform1f(uniforms.lineWidth, style.lineWidth);
        gl.uniform1f(uniforms.hatch, style.hatch);
        // Stripes stick to the ground while the map is dragged.
        gl.uniform1f(uniforms.hatchPhase, style.hatch ? (view.x + view.y) % style.hatch : 0);
        prepared.forEach(([block, own, drawn], index) => {
            gl.activeTexture(gl.TEXTURE5);
            gl.bindTexture(gl.TEXTURE_2D, drawn ?? this.nothingDrawn);
            gl.activeTexture(gl.TEXTURE0);
            gl.bindTexture(gl.TEXTURE_2D, own.texture);
            gl.uniform1i(uniforms.isDrawnOn, drawn ? 1 : 0);
            gl.bindVertexArray(own.array);
            gl.uniform2f(uniforms.offset, own.center[0] * view.scaleX + view.x, own.center[1] * view.scaleY + view.y);
            gl.uniform1f(uniforms.depth, -1 + (2 * (index + 1)) / (blocks.length + 2));
            const limit = (used) => (used === SIDE - 2 ? used : used - 1);
            gl.uniform2i(uniforms.limit, limit(block.usedWidth), limit(block.usedHeight));
            gl.uniform1i(uniforms.overview, block.level > 0 ? 1 : 0);
            gl.uniform1i(uniforms.partial, block.complete ? 0 : 1);
            gl.drawElements(gl.TRIANGLES, own.triangles.count, gl.UNSIGNED_INT, 0);
        });
        gl.bindVertexArray(null);
    }

    /** RGBA of a device pixel of the frame just drawn, counted from the top left. */
    read(x, y, height) {
        const rgba = new Uint8Array(4);
        this.gl.readPixels(x, height - 1 - y, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, rgba);
        return rgba;
    }

    /** @param {object} block a block, or an entry of the overrides */
    free(block) {
        if (this.#drawn.has(block)) {
            this.gl.deleteTexture(this.#drawn.get(block));
            this.#drawn.delete(block);
        }
        const own = this.#gpu.get(block);
        if (!own) return;
        this.gl.deleteTexture(own.texture);
        this.gl.deleteBuffer(own.buffer);
        this.gl.deleteVertexArray(own.array);
        this.#gpu.delete(block);
    }

    destroy() {
        const { gl } = this;
        for (const block of [...this.#gpu.keys(), ...this.#drawn.keys()]) this.free(block);
        for (const { buffer } of this.#triangles.values()) gl.deleteBuffer(buffer);
        gl.deleteTexture(this.colors.texture);
        gl.deleteTexture(this.keys.texture);
        gl.deleteTexture(this.certainty.texture);
        gl.deleteTexture(this.lights.texture);
        gl.deleteTexture(this.pointed.texture);
        gl.deleteTexture(this.drawnColors);
        gl.deleteTexture(this.nothingDrawn);
        gl.deleteProgram(this.shader.program);
    }
}
