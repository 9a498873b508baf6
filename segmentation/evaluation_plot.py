"""A picture of scores: the confusion matrix, and the scores of each class beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmentation.rasters.storage import writing

if TYPE_CHECKING:
    from segmentation.evaluation import Scores

__all__ = ["plot_scores"]

_KINDS = (("iou", "IoU", "#1b6ca8"), ("precision", "precision", "#8fb8d9"), ("recall", "recall", "#e0a458"))
_MOST_NUMBERS = 14  # classes up to which cells are labeled


def plot_scores(scores: Scores, path: Path, *, title: str = "") -> None:
    """Draw the confusion matrix (shares of each true class) and IoU, precision and recall of each class.

    Parameters
    ----------
    scores : Scores
        What to draw.
    path : Path
        PNG, SVG or PDF file to write.
    title : str
        Above the picture.

    Raises
    ------
    StorageFullError, SegmentationError
        If it cannot be written.
    """
    # Imported here, and without pyplot: no window system is asked for, and no other command waits for it.
    from matplotlib.figure import Figure

    k = len(scores.classes)
    side = min(max(3.2, 0.55 * k + 1.5), 18)
    figure = Figure(figsize=(2 * side + 2.4, side + 1.3), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_confusion(left, scores)
    _draw_classes(right, scores)
    figure.suptitle(
        f"{title}\naccuracy {scores.accuracy:.3f}   kappa {scores.kappa:.3f}   mean IoU {scores.mean_iou:.3f}   "
        f"{scores.pixels:,} pixels".strip()
    )
    with writing(path):
        figure.savefig(path)


def _draw_confusion(axes: Any, scores: Scores) -> None:
    names = [one.name for one in scores.classes]
    columns = np.column_stack([scores.confusion.counts, scores.confusion.unclassified])
    labels = [*names, "no class"]
    if not scores.confusion.unclassified.any():
        columns, labels = columns[:, :-1], names
    shares = columns / np.maximum(columns.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("mapped as")
    axes.set_ylabel("true class")
    axes.set_title("Percent of each true class")
    if len(names) <= _MOST_NUMBERS:
        for row, col in np.ndindex(shares.shape):
            if columns[row, col]:
                ink = "white" if shares[row, col] > 0.55 else "#203040"
                text = f"{100 * shares[row, col]:.0f}" if shares[row, col] >= 0.005 else "<1"
                axes.text(col, row, text, ha="center", va="center", color=ink, fontsize=9)


def _draw_classes(axes: Any, scores: Scores) -> None:
    places = np.arange(len(scores.classes))
    for offset, (name, label, color) in zip((-0.27, 0.0, 0.27), _KINDS, strict=True):
        values = [getattr(one, name) for one in scores.classes]
        axes.barh(places + offset, np.nan_to_num(values), 0.25, label=label, color=color)
    axes.set_yticks(places, [one.name for one in scores.classes])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Scores of each class")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False)
