"""The task and the simulated user of `clicks_to_accuracy.py`.

A user declares each class by clicking one pixel of it, then keeps clicking where the map is wrong and says what is
right there. The truth serves to click and to score, nothing else. Every method gets the same user with the same seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

INSIDE_PX = 8  # people click inside a region, not on its rim: how far around a pixel must agree
CANDIDATES = 16  # pixels from which the user takes the one that lies furthest inside
RAREST = 0.003  # share of the image; a class below it is left out of the task

Place = tuple[int, int, int]  # row, col, class
Predict = Callable[[list[Place]], NDArray[np.int64]]


@dataclass(frozen=True)
class Task:
    """An image to classify: ``path`` of the (cropped) image; ``bands`` float32 (B, H, W); ``truth`` int64 (H, W), -1 =
    unknown; ``class_names``."""

    name: str
    path: Path
    bands: NDArray[np.float32]
    truth: NDArray[np.int64]
    class_names: list[str]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


@dataclass
class Run:
    """What one user reached: budget -> (overall accuracy, mean IoU), and the seconds of each prediction."""

    scores: dict[int, tuple[float, float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def load_task(
    name: str, image: Path, truth: Path, folder: Path, size: int = 0, offset: tuple[int, int] = (0, 0)
) -> Task:
    """Read an image and its truth, cropped to ``size`` pixels from row and column ``offset`` (0: whole image).

    The crop is written into ``folder``: methods that read files get no more than the others.
    """
    window = Window(offset[1], offset[0], size, size) if size else None
    with rasterio.open(image) as source:
        values = source.read(window=window)
        transform = source.window_transform(window) if window else source.transform
        profile = source.profile | {
            "driver": "GTiff", "tiled": True, "height": values.shape[1], "width": values.shape[2], "transform": transform,
        }  # fmt: skip
        profile.pop("blockxsize", None)  # a striped source's would not do for tiles
        profile.pop("blockysize", None)
        crop = folder / f"{name}.tif"
        with rasterio.open(crop, "w", **profile) as out:
            out.write(values)
    with rasterio.open(truth) as source:
        numbers = source.read(1, window=window)
    if numbers.shape != values.shape[1:]:
        raise SystemExit(
            f"{truth} has {numbers.shape} pixels, {image} {values.shape[1:]}; they must be on one grid."
        )
    kept = [v for v in np.unique(numbers) if v > 0 and (numbers == v).mean() > RAREST]
    classes = np.full(numbers.shape, -1, np.int64)
    for index, number in enumerate(kept):
        classes[numbers == number] = index
    names = _class_names(truth.with_suffix(".json"))
    return Task(name, crop, values.astype(np.float32), classes, [names.get(int(v), str(v)) for v in kept])


def _class_names(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    named = found.get("classes", found)
    return {
        int(k): v["name"] if isinstance(v, dict) else str(v) for k, v in named.items() if str(k).isdigit()
    }


def score(predicted: NDArray[np.int64], truth: NDArray[np.int64], n_classes: int) -> tuple[float, float]:
    """Overall accuracy and mean IoU where the truth is known; a pixel without class (-1) is wrong."""
    known = truth >= 0
    answer = predicted[known]
    answer = np.where((answer >= 0) & (answer < n_classes), answer, n_classes)
    matrix = np.bincount(truth[known] * (n_classes + 1) + answer, minlength=n_classes * (n_classes + 1))
    matrix = matrix.reshape(n_classes, n_classes + 1)
    hits = np.diagonal(matrix)
    union = matrix.sum(axis=1) + matrix[:, :n_classes].sum(axis=0) - hits
    return float(hits.sum() / matrix.sum()), float((hits / np.maximum(union, 1)).mean())


def simulate(
    predict: Predict, truth: NDArray[np.int64], n_classes: int, budgets: Sequence[int], seed: int
) -> Run:
    """Let one user click up to the largest budget and score the map at each budget.

    Budgets below the number of classes are left out. When nothing is wrong anymore, the rest counts as perfect.
    """
    rng = np.random.default_rng(seed)
    clicks = [(*_pick(truth == class_id, truth == class_id, rng), class_id) for class_id in range(n_classes)]
    run = Run()
    while True:
        begin = time.perf_counter()
        predicted = predict(clicks)
        run.seconds.append(time.perf_counter() - begin)
        if len(clicks) in budgets:
            run.scores[len(clicks)] = score(predicted, truth, n_classes)
        if len(clicks) >= max(budgets):
            return run
        wrong = (truth >= 0) & (predicted != truth)
        rows, cols = np.nonzero(wrong)
        if not len(rows):
            left = [n for n in budgets if n >= len(clicks) and n not in run.scores]
            run.scores.update(dict.fromkeys(left, (1.0, 1.0)))
            return run
        place = rng.integers(len(rows))
        class_id = int(truth[rows[place], cols[place]])
        region = wrong & (truth == class_id)
        clicks.append((*_pick(region, region, rng), class_id))


def _pick(
    candidates: NDArray[np.bool_], agrees: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[int, int]:
    """Of a few random candidates, the pixel around which most agree."""
    rows, cols = np.nonzero(candidates)
    chosen = rng.choice(len(rows), min(CANDIDATES, len(rows)), replace=False)

    def agreement(index: int) -> int:
        row, col = rows[index], cols[index]
        top, left = max(row - INSIDE_PX, 0), max(col - INSIDE_PX, 0)
        return int(agrees[top : row + INSIDE_PX + 1, left : col + INSIDE_PX + 1].sum())

    best = max(chosen, key=agreement)
    return int(rows[best]), int(cols[best])
