"""One network from many images, to be applied to others with the same bands."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.blockwork import BlockWork, Superpixels
from segmentation.clustering.superpixels import default_superpixel_px
from segmentation.errors import CancelledError, EmptySceneError, FeatureMismatchError, InvalidArgumentError
from segmentation.features.normalize import MAX_PLAIN_BANDS, BandScaling, FeatureScaling
from segmentation.features.sampling import all_blocks, sample_windows
from segmentation.learning.crops import TrainingWindow
from segmentation.learning.network import Network
from segmentation.learning.plan import fit_features
from segmentation.learning.recipe import Recipe
from segmentation.learning.scenes import learn_from_windows, training_windows
from segmentation.learning.training import TrainingProgress
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.scene import open_scene
from segmentation.rasters.windows import Window

__all__ = ["train_network"]

_PATCH = re.compile(r"_r\d+_c\d+$")  # as `segmentation.rasters.patches` names them
_MOST_PX = 24_000_000  # of all images together; what is drawn from each shrinks in proportion
_PIXELS_EACH = 20_000  # that measure the bands of an image


def train_network(
    images: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    seconds: float = 600.0,
    steps: int | None = None,
    recipe: Recipe | None = None,
    bands: Sequence[int] | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[TrainingProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Network:
    """Train a network on images without labels and write it to a file.

    Parameters
    ----------
    images : sequence of path
        Scenes or patches. Patches of one image (named NAME_rROW_cCOLUMN) are scaled together, everything else by itself, as a
        scene is when the network is applied.
    out : path
        File to write; what is interrupted is kept beside it.
    seed : int
        Same images, seed, steps, device and number of threads: same network.
    seconds, steps :
        Budget, or the number of steps itself.
    recipe : Recipe, optional
        Numbers of the training.
    bands : sequence of int, optional
        Bands to use, from 1, in this order; all by default.
    device : str
        "cpu" or a torch CUDA device.
    resume : bool
        Go on with an interrupted training of the same images, seed and recipe.
    progress, cancelled : callable, optional
        As for `Training.run`.

    Raises
    ------
    InvalidArgumentError
        If there is no image, or a number is out of range.
    FeatureMismatchError
        If the images differ in their number of bands.
    SegmentationError
        If an image cannot be read, nothing holds data, or the file cannot be written.
    """
    if not images:
        raise InvalidArgumentError("There is no image to learn from; give one or more.")
    recipe = recipe or Recipe()
    n_bands, windows, scaling = _windows_of(images, bands, seed, device, cancelled)
    checkpoint = out.with_name(f".{out.name}.training")
    same = {
        "images": [path.name for path in images],
        "bands": None if bands is None else list(bands),
        "seed": seed,
        "recipe": repr(recipe),
    }
    if not resume:
        checkpoint.unlink(missing_ok=True)
    encoder, learned = learn_from_windows(
        windows,
        seed=seed,
        device=device,
        seconds=seconds,
        steps=steps,
        checkpoint=checkpoint,
        parameters=same,
        recipe=recipe,
        progress=progress,
        cancelled=cancelled,
    )
    network = Network(encoder.cpu(), n_bands, scaling, {**learned, "images": same["images"]})
    network.save(out)
    checkpoint.unlink(missing_ok=True)
    return network


def _windows_of(
    images: Sequence[Path],
    bands: Sequence[int] | None,
    seed: int,
    device: str,
    cancelled: Callable[[], bool] | None,
) -> tuple[int, list[TrainingWindow], BandScaling | None]:
    """Windows of all images, their filter features standardized together; the scaling is None where each image has its own."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in images:
        groups[str(path.parent / _PATCH.sub("", path.stem))].append(path)
    with ExitStack() as stack:
        works: dict[Path, BlockWork] = {}
        for path in images:
            scene = stack.enter_context(open_scene(path))
            if bands is not None and not all(1 <= band <= scene.n_bands for band in bands):
                raise InvalidArgumentError(
                    f"Bands {list(bands)} were asked for, and {path.name} has bands 1 to {scene.n_bands}."
                )
            georeference = Georeference(scene.transform, scene.crs, scene.height, scene.width)
            unscaled = BandScaling(np.zeros(0, np.float32), np.zeros(0, np.float32), None)
            works[path] = BlockWork(
                BlockReader(scene, bands),
                georeference,
                unscaled,
                default_superpixel_px(scene.gsd_m),
                None,
                device,
            )
        counts = {work.reader.n_bands for work in works.values()}
        if len(counts) > 1:
            raise FeatureMismatchError(
                f"The images have {', '.join(map(str, sorted(counts)))} bands; a network is trained on images with equally many "
                "(or choose the bands to use)."
            )
        n_bands = counts.pop()
        samples = {path: _sample(work) for path, work in works.items()}
        # Principal components must mean the same in every image.
        shared = BandScaling.fit(_joined(list(samples.values()))) if n_bands > MAX_PLAIN_BANDS else None
        drawn = {path: _draw(work, seed) for path, work in works.items()}
        total = sum(window.height * window.width for windows in drawn.values() for window in windows)
        looked_at: dict[Path, list[tuple[Window, Superpixels]]] = {}
        for name in sorted(groups):
            part = [samples[path] for path in groups[name]]
            if shared is None and not any(len(sample) for sample in part):
                continue  # nothing but nodata
            scaling = shared or BandScaling.fit(_joined(part))
            for path in groups[name]:
                works[path] = replace(works[path], scaling=scaling)
                most = max(1, round(len(drawn[path]) * min(1.0, _MOST_PX / total)))
                looked_at[path] = []
                for window in drawn[path][:most]:
                    if cancelled is not None and cancelled():
                        raise CancelledError("The training was cancelled.")
                    looked_at[path].append((window, works[path].superpixels(window)))
        features = _fit(looked_at, works)
        windows = [
            window
            for path, pairs in looked_at.items()
            for window in training_windows(works[path], pairs, features, seed)
        ]
    return n_bands, windows, shared


def _fit(
    looked_at: dict[Path, list[tuple[Window, Superpixels]]], works: dict[Path, BlockWork]
) -> FeatureScaling:
    found = [pair[1] for pairs in looked_at.values() for pair in pairs if len(pair[1].pixels)]
    if not found:
        raise EmptySceneError("None of the images holds data; choose others.")
    n_channels = next(works[path].scaling.n_channels for path in looked_at)
    return fit_features(
        np.concatenate([one.features for one in found]),
        np.concatenate([one.pixels for one in found]),
        n_channels,
    )


def _draw(work: BlockWork, seed: int) -> list[Window]:
    return sample_windows(all_blocks(work.georeference.height, work.georeference.width), seed)


def _sample(work: BlockWork) -> NDArray[np.float32]:
    """Pixels with data, on a grid over the image: float32 (n, B)."""
    height, width = work.georeference.height, work.georeference.width
    step = max(1, int(np.sqrt(height * width / _PIXELS_EACH)))
    parts = []
    for window in all_blocks(height, width):
        pixels, valid = work.reader.read(window)
        parts.append(pixels[:, ::step, ::step][:, valid[::step, ::step]].T)
    return np.concatenate(parts)


def _joined(samples: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    joined = np.concatenate(samples)
    if not len(joined):
        raise EmptySceneError("None of the images holds data; choose others.")
    return joined
