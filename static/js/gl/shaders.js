/** The two shaders of the cluster layer. */

export const VERTEX = `#version 300 es
precision highp float;
in vec2 position;      // plane units from the middle of the block
in vec2 texel;         // column, row inside the block
uniform vec2 scale;    // device pixels per plane unit
uniform vec2 offset;   // device pixels from the canvas' top left to the middle of the block
uniform vec2 canvas;   // device pixels
uniform float depth;   // the first block drawn at a place keeps it
out vec2 at;

void main() {
    vec2 clip = (position * scale + offset) / canvas * 2.0 - 1.0;
    gl_Position = vec4(clip.x, -clip.y, depth, 1.0);
    at = texel;
}
`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;

uniform usampler2D leaves;   // 514 x 514: the block and one texel of its neighbors around
uniform sampler2D colors;    // 256 x 256: color of each leaf
uniform usampler2D keys;     // 256 x 256: what outlines run between
uniform ivec2 limit;         // last texel, column and row, that may be read
uniform bool overview;       // texels stand for several pixels: always average
uniform bool partial;        // texels without a leaf may only be missing yet
uniform bool outlines;
uniform uvec2 hover;         // leaves [low, high) that light up
uniform float lineWidth;     // device pixels
in vec2 at;
out vec4 color;

const uint NODATA = 65535u;

uint leafAt(ivec2 texel) {
    return texelFetch(leaves, clamp(texel, ivec2(-1), limit) + 1, 0).r;
}

ivec2 entry(uint leaf) {
    return ivec2(int(leaf & 255u), int(leaf >> 8));
}

bool lit(uint leaf) {
    return leaf >= hover.x && leaf < hover.y;
}

vec4 shown(uint leaf) {
    vec4 own = texelFetch(colors, entry(leaf), 0);
    own.rgb *= own.a;
    if (!lit(leaf)) return own;
    return own.a > 0.0 ? vec4(mix(own.rgb, vec3(1.0), 0.4), own.a) : vec4(0.45);
}

bool differs(uint one, uint other, bool hovered) {
    if (hovered) return lit(one) != lit(other);
    if (other == NODATA) return false;
    return texelFetch(keys, entry(one), 0).r != texelFetch(keys, entry(other), 0).r;
}

// Whether a border runs within "width" texels of here, on the side of "leaf".
bool onEdge(uint leaf, ivec2 texel, vec2 inside, vec2 width, bool hovered) {
    if (inside.x < width.x && differs(leaf, leafAt(texel - ivec2(1, 0)), hovered)) return true;
    if (1.0 - inside.x < width.x && differs(leaf, leafAt(texel + ivec2(1, 0)), hovered)) return true;
    if (inside.y < width.y && differs(leaf, leafAt(texel - ivec2(0, 1)), hovered)) return true;
    return 1.0 - inside.y < width.y && differs(leaf, leafAt(texel + ivec2(0, 1)), hovered);
}

void main() {
    vec2 dx = dFdx(at), dy = dFdy(at);
    ivec2 texel = clamp(ivec2(floor(at)), ivec2(0), limit);
    uint leaf = leafAt(texel);
    if (partial && leaf == NODATA) discard;
    float footprint = max(length(dx), length(dy)); // texels per device pixel

    vec2 inside = at - vec2(texel);
    vec2 width = lineWidth * vec2(length(vec2(dx.x, dy.x)), length(vec2(dx.y, dy.y)));
    if (lit(leaf) && onEdge(leaf, texel, inside, width, true)) {
        color = vec4(1.0);
        return;
    }
    if (outlines) {
        bool edge = leaf != NODATA && onEdge(leaf, texel, inside, width, false);
        color = edge ? vec4(texelFetch(colors, entry(leaf), 0).rgb, 1.0) : lit(leaf) ? vec4(0.3) : vec4(0.0);
        return;
    }
    // Colors are averaged, never ids; at full resolution one texel is exact.
    bool exact = footprint <= 1.001 && !overview;
    if (exact) {
        color = shown(leaf);
        return;
    }
    float widen = max(1.0, 1.0 / footprint);
    int taps = footprint > 2.0 ? 4 : 2;
    vec4 sum = vec4(0.0);
    for (int i = 0; i < taps; i++) {
        for (int j = 0; j < taps; j++) {
            vec2 shift = (vec2(float(i), float(j)) + 0.5) / float(taps) - 0.5;
            sum += shown(leafAt(ivec2(floor(at + widen * (shift.x * dx + shift.y * dy)))));
        }
    }
    color = sum / float(taps * taps);
}
`;
