"""Learning from windows of a scene while it is segmented, and going on after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segmentation.blockwork import BlockWork, Superpixels
from segmentation.errors import FeatureMismatchError, NetworkError
from segmentation.features.normalize import FeatureScaling
from segmentation.features.sampling import seeded_hash
from segmentation.learning.crops import TrainingWindow
from segmentation.learning.encoder import Encoder
from segmentation.learning.network import read_tensors, write_tensors
from segmentation.learning.recipe import Recipe
from segmentation.learning.training import Training, TrainingProgress
from segmentation.memory import reuse_freed_memory
from segmentation.objects import StorePath
from segmentation.rasters.windows import Window

__all__ = ["learn_from_windows", "training_windows"]

_MOST_PX = 4_000_000  # looked at; more would cost memory, and a short training never sees it all


def training_windows(
    work: BlockWork, looked_at: Sequence[tuple[Window, Superpixels]], scaling: FeatureScaling, seed: int
) -> list[TrainingWindow]:
    """Draw windows of a scene to learn from, up to 4 megapixels.

    Parameters
    ----------
    work : BlockWork
        Of the scene, without an encoder.
    looked_at : sequence of (Window, Superpixels)
        Windows with the superpixels and filter features found there.
    scaling : FeatureScaling
        Of the filter features.
    seed : int
        Of the draw.
    """
    order = sorted(looked_at, key=lambda pair: seeded_hash(seed, pair[0].row, pair[0].col, 2))
    chosen: list[TrainingWindow] = []
    total = 0
    for window, found in order:
        if not len(found.pixels) or (chosen and total + window.height * window.width > _MOST_PX):
            continue
        total += window.height * window.width
        image = work.image(window)
        image[:, found.labels < 0] = 0  # outside the area of interest nothing is learned
        chosen.append(TrainingWindow(image, found.labels, scaling(found.features), found.pixels))
    return chosen


def learn_from_windows(
    windows: Sequence[TrainingWindow],
    *,
    seed: int,
    device: str,
    seconds: float,
    steps: int | None = None,
    start: Encoder | None = None,
    checkpoint: StorePath | None = None,
    parameters: dict[str, Any] | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Encoder, dict[str, Any]]:
    """Train an encoder within a budget.

    Parameters
    ----------
    windows : sequence of TrainingWindow
    seed : int
    device : str
    seconds : float
        Budget; turned into a number of steps by timing a few.
    steps : int, optional
        That number itself: then the result does not depend on how fast the machine is.
    start : Encoder, optional
        Weights to start from.
    checkpoint : path, optional
        File in which the training is kept now and then; one made with the same ``parameters`` is continued.
    parameters : dict, optional
        Whatever makes two trainings the same, fit for JSON.
    recipe : Recipe, optional
    progress, cancelled : callable, optional
        As for `Training.run`.

    Returns
    -------
    encoder : Encoder
    description : dict
        Steps, seed, device, precision, pseudo-classes, fit for JSON.
    """
    training = Training(windows, recipe, seed=seed, device=device, start=start)
    kept = None if checkpoint is None else _read_checkpoint(checkpoint, parameters or {})
    if kept is not None:
        tensors, steps = kept
        try:
            training.restore(tensors)
        except FeatureMismatchError:  # of another version of the recipe: begin anew
            training = Training(windows, recipe, seed=seed, device=device, start=start)
    if steps is None:
        with reuse_freed_memory():
            steps = training.steps_within(seconds)
    total = max(steps, training.recipe.rounds)

    def keep(state: dict[str, Any]) -> None:
        if checkpoint is not None:
            write_tensors(checkpoint, state, {"parameters": parameters or {}, "steps": total})

    with reuse_freed_memory():
        encoder = training.run(total, progress, cancelled, keep)
    return encoder, {
        "steps": total,
        "seed": seed,
        "device": device,
        "half": training.half,
        "clusters": list(training.recipe.clusters),
        "rounds": training.recipe.rounds,
        "superpixels": int(np.sum([len(window.pixels) for window in windows])),
        "from_scratch": start is None,
    }


def _read_checkpoint(path: StorePath, parameters: dict[str, Any]) -> tuple[dict[str, Any], int] | None:
    if not path.exists():
        return None
    try:
        tensors, description = read_tensors(path)
    except NetworkError:  # half of one cannot be there, yet another program's file can: it is written over
        return None
    if description.get("parameters") != parameters or not isinstance(description.get("steps"), int):
        return None
    return tensors, description["steps"]
