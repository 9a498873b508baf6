"""Cluster colors: easy to tell apart, and steady when the granularity changes.

The root is split step by step, as the granularity slider does. The heavier part keeps its color, the lighter one gets
a new color: at first the one farthest from all in use, later the farthest among the shades of its parent. So
colors in use never change, and a cluster that splits stays recognizable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cluster_colors", "oklab_to_rgb"]

_FREE_SPLITS = 10  # these many clusters get colors from the whole range
_FIRST_RADIUS = (
    0.22  # OKLab distance of a child from its parent just after that; shrinks with 1/sqrt(clusters)
)
_LEAST_RADIUS = 0.05
_CHOSEN_SPLITS = 1500  # finer clusters than this are drawn in small shades of their parent
_JITTER = 0.03


def cluster_colors(
    parent: NDArray[np.uint32],
    low: NDArray[np.uint32],
    high: NDArray[np.uint32],
    weights: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Choose a color for each node of a merge tree.

    Parameters
    ----------
    parent, low, high : uint32 arrays, shape (2n - 1,)
        The tree (see `MergeTree`).
    weights : float64 array, shape (n,)
        Size of each leaf.

    Returns
    -------
    uint8 array, shape (2n - 1, 3)
        sRGB. A node's heavier child has the node's color.

    Notes
    -----
    Distances are Euclidean in OKLab (Ottosson 2020).
    """
    n_nodes = len(parent)
    n = (n_nodes + 1) // 2
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    mass_of = mass[high] - mass[low]
    palette = _palette()
    colors = np.empty((n_nodes, 3))
    gap = np.full(len(palette), np.inf)  # of each palette color from the nearest color in use

    def use(color: NDArray[np.float64]) -> None:
        np.minimum(gap, np.linalg.norm(palette - color, axis=1), out=gap)

    children = np.zeros((n_nodes, 2), np.int64)
    filled = np.zeros(n_nodes, np.int64)
    for node in range(n_nodes - 1):
        children[parent[node], filled[parent[node]]] = node
        filled[parent[node]] += 1
    root = n_nodes - 1
    colors[root] = palette[
        np.argmin(np.linalg.norm(palette - [0.62, -0.09, 0.06], axis=1))
    ]  # a calm green to start with
    use(colors[root])
    rng = np.random.default_rng(0)
    jitter = rng.uniform(-_JITTER, _JITTER, (n_nodes, 3))
    for node in range(root, n - 1, -1):
        n_clusters = root - node + 2
        heavy, light = children[node]
        if mass_of[light] > mass_of[heavy]:
            heavy, light = light, heavy
        colors[heavy] = colors[node]
        if n_clusters > _CHOSEN_SPLITS:
            colors[light] = colors[node] + jitter[light]
            continue
        near = np.linalg.norm(palette - colors[node], axis=1)
        radius = np.inf
        if n_clusters > _FREE_SPLITS:
            radius = max(_LEAST_RADIUS, _FIRST_RADIUS * np.sqrt(_FREE_SPLITS / n_clusters))
        colors[light] = palette[np.argmax(np.where(near <= radius, gap, -1))]
        use(colors[light])
    return oklab_to_rgb(colors)


def _palette() -> NDArray[np.float64]:
    """OKLab colors that show on imagery: neither near black or white nor gray, and inside sRGB."""
    lightness, a, b = np.meshgrid(
        np.linspace(0.45, 0.88, 15), np.linspace(-0.2, 0.24, 23), np.linspace(-0.24, 0.18, 22), indexing="ij"
    )
    colors = np.stack([lightness, a, b], axis=-1).reshape(-1, 3)
    chroma = np.hypot(colors[:, 1], colors[:, 2])
    linear = _linear_rgb(colors)
    return colors[(chroma > 0.05) & (chroma < 0.2) & (linear >= 0).all(1) & (linear <= 1).all(1)]


def _linear_rgb(oklab: NDArray[np.float64]) -> NDArray[np.float64]:
    to_lms = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    rgb: NDArray[np.float64] = (oklab @ to_lms.T) ** 3 @ to_rgb.T
    return rgb


def oklab_to_rgb(oklab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Convert OKLab to 8-bit sRGB.

    Parameters
    ----------
    oklab : float64 array, shape (N, 3)
        Lightness 0 to 1, a, b.

    Returns
    -------
    uint8 array, shape (N, 3)
        Clipped where outside sRGB.

    Notes
    -----
    Matrices of Ottosson (2020), "A perceptual color space for image processing"; transfer curve of IEC 61966-2-1.
    """
    linear = np.clip(_linear_rgb(oklab), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255), dtype=np.uint8)
