/** The two shaders of the cluster layer. */
import { SOURCE } from "../model/completion.js";
import { CLASS_KEY } from "../model/lookup.js";

/** What the fragment shader draws, by the overlay's mode; other modes draw the colors of the table. */
export const DRAW = { colors: 0, outlines: 1, certainty: 2 };

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
uniform sampler2D certainties; // 256 x 256: certainty 0..1 and source (0..255) of each leaf's class
uniform usampler2D drawn;    // 514 x 514: what was drawn by hand over the block, 0 for nothing
uniform sampler2D drawnColors; // 256 x 1: color of each value that can be drawn, and its class; class 0 does not show
uniform bool isDrawnOn;      // whether anything was drawn over the block at all
uniform vec4 ramp[3];        // colors of certainty 0, 1/2 and 1, not premultiplied
uniform ivec2 limit;         // last texel, column and row, that may be read
uniform bool overview;       // texels stand for several pixels: always average
uniform bool partial;        // texels without a leaf may only be missing yet
uniform int drawing;         // one of DRAW
uniform bool hovering;
uniform sampler2D lights;    // 256 x 256: above 0 for the leaves that light up
uniform bool isPointedAt;    // whether others point at anything
uniform sampler2D pointed;   // 256 x 256: color of the leaves that others point at, alpha 0 for the rest
uniform float lineWidth;     // device pixels
uniform float hatch;         // device pixels from one stripe over predicted leaves to the next; 0: none
uniform float hatchPhase;    // device pixels
uniform vec2 canvas;         // device pixels
in vec2 at;
out vec4 color;

const uint NODATA = 65535u;
const uint CLASS_KEY = ${CLASS_KEY}u;
const int OUTLINES = ${DRAW.outlines}, CERTAINTY = ${DRAW.certainty};
const int NO_SOURCE = ${SOURCE.none}, ASSIGNED = ${SOURCE.assigned}, PREDICTED = ${SOURCE.predicted};

// What a texel is of: its leaf, and the value that was drawn there, 0 where that does not show.
struct Spot {
    uint leaf;
    uint value;
};

vec4 drawnColor(uint value) {
    return texelFetch(drawnColors, ivec2(int(value), 0), 0);
}

uint leafAt(ivec2 texel) {
    return texelFetch(leaves, clamp(texel, ivec2(-1), limit) + 1, 0).r;
}

Spot spotAt(ivec2 texel) {
    ivec2 place = clamp(texel, ivec2(-1), limit) + 1;
    uint leaf = texelFetch(leaves, place, 0).r;
    uint value = isDrawnOn && leaf != NODATA ? texelFetch(drawn, place, 0).r : 0u;
    return Spot(leaf, value > 0u && drawnColor(value).a > 0.0 ? value : 0u);
}

ivec2 entry(uint leaf) {
    return ivec2(int(leaf & 255u), int(leaf >> 8));
}

bool lit(uint leaf) {
    return hovering && texelFetch(lights, entry(leaf), 0).r > 0.0;
}

int sourceOf(Spot spot) {
    return spot.value > 0u ? ASSIGNED : int(texelFetch(certainties, entry(spot.leaf), 0).g * 255.0 + 0.5);
}

// Outlines run between spots of different keys: those of model/lookup.js, and of the class where one was drawn.
uint keyOf(Spot spot) {
    if (spot.value > 0u) return CLASS_KEY + uint(drawnColor(spot.value).a * 255.0 + 0.5);
    return texelFetch(keys, entry(spot.leaf), 0).r;
}

vec4 colorOf(Spot spot) {
    return spot.value > 0u ? vec4(drawnColor(spot.value).rgb, 1.0) : texelFetch(colors, entry(spot.leaf), 0);
}

vec4 certaintyColor(Spot spot) {
    if (sourceOf(spot) == NO_SOURCE) return vec4(0.0);
    float at = spot.value > 0u ? 2.0 : texelFetch(certainties, entry(spot.leaf), 0).r * 2.0;
    return at < 1.0 ? mix(ramp[0], ramp[1], at) : mix(ramp[1], ramp[2], at - 1.0);
}

// Stripes over what is only predicted, "share" of this pixel: light ones, or dark ones on a light color.
vec4 hatched(vec4 plain, float share) {
    if (hatch == 0.0 || share == 0.0) return plain;
    float along = gl_FragCoord.x + canvas.y - gl_FragCoord.y - hatchPhase;
    float away = abs(fract(along / hatch) - 0.5) * hatch; // from the middle of the nearest stripe, along a row
    float stripe = share * (1.0 - smoothstep(hatch * 0.06, hatch * 0.06 + 1.0, away));
    bool isLight = dot(plain.rgb, vec3(0.299, 0.587, 0.114)) > 0.62 * plain.a;
    return vec4(isLight ? plain.rgb * (1.0 - 0.24 * stripe) : mix(plain.rgb, vec3(plain.a), 0.32 * stripe), plain.a);
}

vec4 shown(Spot spot) {
    vec4 own = drawing == CERTAINTY ? certaintyColor(spot) : colorOf(spot);
    own.rgb *= own.a;
    if (!lit(spot.leaf)) return own;
    return own.a > 0.0 ? vec4(mix(own.rgb, vec3(1.0), 0.4), own.a) : vec4(0.45);
}

bool differs(Spot one, Spot other, bool hovered) {
    if (hovered) return lit(one.leaf) != lit(other.leaf);
    if (other.leaf == NODATA) return false;
    return keyOf(one) != keyOf(other);
}

// Whether a border runs within "width" texels of here, on the side of "spot".
bool onEdge(Spot spot, ivec2 texel, vec2 inside, vec2 width, bool hovered) {
    if (inside.x < width.x && differs(spot, spotAt(texel - ivec2(1, 0)), hovered)) return true;
    if (1.0 - inside.x < width.x && differs(spot, spotAt(texel + ivec2(1, 0)), hovered)) return true;
    if (inside.y < width.y && differs(spot, spotAt(texel - ivec2(0, 1)), hovered)) return true;
    return 1.0 - inside.y < width.y && differs(spot, spotAt(texel + ivec2(0, 1)), hovered);
}

vec4 pointedColor(ivec2 texel) {
    return texelFetch(pointed, entry(leafAt(texel)), 0);
}

// Whether the cluster that somebody else points at, in "mine", ends within "width" texels of here.
bool onPointedEdge(vec4 mine, ivec2 texel, vec2 inside, vec2 width) {
    if (inside.x < width.x && pointedColor(texel - ivec2(1, 0)) != mine) return true;
    if (1.0 - inside.x < width.x && pointedColor(texel + ivec2(1, 0)) != mine) return true;
    if (inside.y < width.y && pointedColor(texel - ivec2(0, 1)) != mine) return true;
    return 1.0 - inside.y < width.y && pointedColor(texel + ivec2(0, 1)) != mine;
}

void main() {
    vec2 dx = dFdx(at), dy = dFdy(at);
    ivec2 texel = clamp(ivec2(floor(at)), ivec2(0), limit);
    Spot spot = spotAt(texel);
    uint leaf = spot.leaf;
    if (partial && leaf == NODATA) discard;
    float footprint = max(length(dx), length(dy)); // texels per device pixel

    vec2 inside = at - vec2(texel);
    vec2 width = lineWidth * vec2(length(vec2(dx.x, dy.x)), length(vec2(dx.y, dy.y)));
    if (lit(leaf) && onEdge(spot, texel, inside, width, true)) {
        color = vec4(1.0);
        return;
    }
    if (isPointedAt) {
        vec4 mine = pointedColor(texel);
        if (mine.a > 0.0 && onPointedEdge(mine, texel, inside, width)) {
            color = vec4(mine.rgb, 1.0);
            return;
        }
    }
    if (drawing == OUTLINES) {
        bool edge = leaf != NODATA && onEdge(spot, texel, inside, width, false);
        color = edge ? vec4(colorOf(spot).rgb, 1.0) : lit(leaf) ? vec4(0.3) : vec4(0.0);
        return;
    }
    // Colors are averaged, never ids; at full resolution one texel is exact.
    bool exact = footprint <= 1.001 && !overview;
    bool hatches = drawing != CERTAINTY && hatch > 0.0;
    if (exact) {
        color = hatched(shown(spot), hatches && sourceOf(spot) == PREDICTED ? 1.0 : 0.0);
        return;
    }
    float widen = max(1.0, 1.0 / footprint);
    int taps = footprint > 2.0 ? 4 : 2;
    vec4 sum = vec4(0.0);
    float predicted = 0.0;
    for (int i = 0; i < taps; i++) {
        for (int j = 0; j < taps; j++) {
            vec2 shift = (vec2(float(i), float(j)) + 0.5) / float(taps) - 0.5;
            Spot tap = spotAt(ivec2(floor(at + widen * (shift.x * dx + shift.y * dy))));
            sum += shown(tap);
            if (hatches && sourceOf(tap) == PREDICTED) predicted += 1.0;
        }
    }
    color = hatched(sum / float(taps * taps), predicted / float(taps * taps));
}
`;
