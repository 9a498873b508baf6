"""Does it pay to click where the program suggests? Clicks and accuracy of simulated users who choose differently.

    python benchmarks/suggestions.py                              # images of ../shared/data, 6 users each
    python benchmarks/suggestions.py --only zion t2 --seeds 3     # some of them, fewer users
    python benchmarks/suggestions.py --image A.tif --truth B.tif  # your own image
    python benchmarks/suggestions.py --mode best                  # on segmentations that learn from the scene first

Four users, the same decoder:

- "in errors": clicks at random inside what the map gets wrong, as the user of `clicks_to_accuracy.py` does. No person can: it
  takes knowing all errors of the map beforehand.
- "anywhere": clicks at random places.
- "suggestions": clicks the first suggested place of which the truth is known.
- "suggestions, from nothing": likewise, without declaring the classes first.

The first three begin with the same click in each class. Truth answers clicks and scores maps, nothing else. Images marked * were
looked at while the ranking was tuned. Results are kept in ``--json`` after each image: a run that was cut short goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import rasterio
from clicking import Place, Task, load_task, score, simulate
from numpy.typing import NDArray

from segmentation import Click, Prediction, Segmentation, segment, suggest
from segmentation.places import find_places

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SUGGESTED = 6  # places shown at a time; one whose truth is unknown is passed over

Curve = dict[int, tuple[float, float]]  # clicks -> overall accuracy, mean IoU


@dataclass(frozen=True)
class Image:
    """One image to measure: paths below the data folder, corner of the crop, whether the ranking was tuned on it."""

    title: str
    image: str
    truth: str
    offset: tuple[int, int] = (0, 0)
    is_tuned_on: bool = False


_DUBAI = "dubai_mbrsc/tile{0}_rgb.tif", "dubai_mbrsc/tile{0}_gt.tif"
_ZION = "zion_l8_nlcd/zion_l8_b2345.tif", "zion_l8_nlcd/zion_nlcd_gt.tif"
_CHESAPEAKE = "chesapeake_wv/wv_naip_mosaic_rgbn.tif", "chesapeake_wv/wv_lc_gt.tif"
_PINES = "indian_pines/indian_pines_200band.tif", "indian_pines/indian_pines_gt.tif"
IMAGES = {
    "t2": Image("Dubai 2, RGB", *(name.format(2) for name in _DUBAI), offset=(200, 200), is_tuned_on=True),
    "zion": Image("Zion, Landsat", *_ZION, is_tuned_on=True),
    "t1": Image("Dubai 1, RGB", *(name.format(1) for name in _DUBAI), offset=(400, 400)),
    "t6": Image("Dubai 6, RGB", *(name.format(6) for name in _DUBAI), offset=(700, 700)),
    "chesapeake": Image("Chesapeake, RGB + NIR", *_CHESAPEAKE),
    "pines": Image("Indian Pines, 200 bands", *_PINES),
}


class Scene:
    """A segmented task: maps from clicks, and suggestions."""

    def __init__(self, task: Task, folder: Path, mode: str) -> None:
        self.task = task
        self.segmentation: Segmentation = segment(task.path, folder / "store", seed=0, mode=mode)
        self.leaves = np.asarray(self.segmentation.leaves[:]).astype(np.int64)
        self.places = find_places(self.segmentation)
        self.suggest_s: list[float] = []
        self.passed_over = 0  # suggestions whose truth is unknown

    def predict(self, clicks: Sequence[Place], seed: int) -> Prediction | None:
        return self.segmentation.classify([Click(*one) for one in clicks], seed=seed) if clicks else None

    def map_of(self, prediction: Prediction) -> NDArray[np.int64]:
        return np.append(prediction.classes, -1)[np.minimum(self.leaves, self.segmentation.n_leaves)]

    def known_place(
        self, prediction: Prediction | None, clicks: Sequence[Place], rng: np.random.Generator
    ) -> Place:
        """The best suggestion of known truth; a random place where there is none."""
        begin = time.perf_counter()
        examples = [Click(*one) for one in clicks]
        found = suggest(self.segmentation, prediction, examples, SUGGESTED, places=self.places)
        self.suggest_s.append(time.perf_counter() - begin)
        for one in found:
            class_id = int(self.task.truth[one.row, one.col])
            if class_id >= 0:
                return one.row, one.col, class_id
            self.passed_over += 1
        return self.any_place(rng)

    def any_place(self, rng: np.random.Generator) -> Place:
        rows, cols = np.nonzero(self.task.truth >= 0)
        index = rng.integers(len(rows))
        return int(rows[index]), int(cols[index]), int(self.task.truth[rows[index], cols[index]])


def first_clicks(task: Task, seed: int) -> list[Place]:
    """The clicks that a user of `simulate` begins with, one a class."""
    seen: list[list[Place]] = []

    def watch(clicks: list[Place]) -> NDArray[np.int64]:
        seen.append(list(clicks))
        return task.truth

    simulate(watch, task.truth, task.n_classes, [task.n_classes], seed)
    return seen[0]


def in_errors(scene: Scene, clicks: int, seed: int) -> Curve:
    task = scene.task

    def predict(given: list[Place]) -> NDArray[np.int64]:
        prediction = scene.predict(given, seed)
        assert prediction is not None
        return scene.map_of(prediction)

    budgets = range(task.n_classes, clicks + 1)
    return simulate(predict, task.truth, task.n_classes, budgets, seed).scores


def anywhere(scene: Scene, clicks: int, seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    return _follow(scene, first_clicks(scene.task, seed), clicks, seed, lambda *_: scene.any_place(rng))


def following(scene: Scene, clicks: int, seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    start = first_clicks(scene.task, seed)
    return _follow(scene, start, clicks, seed, lambda p, given: scene.known_place(p, given, rng))


def from_nothing(scene: Scene, clicks: int, seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    return _follow(scene, [], clicks, seed, lambda p, given: scene.known_place(p, given, rng))


def _follow(
    scene: Scene,
    given: list[Place],
    clicks: int,
    seed: int,
    choose: Callable[[Prediction | None, list[Place]], Place],
) -> Curve:
    curve: Curve = {}
    while True:
        prediction = scene.predict(given, seed)
        if prediction is not None:
            curve[len(given)] = score(scene.map_of(prediction), scene.task.truth, scene.task.n_classes)
        if len(given) >= clicks:
            return curve
        given.append(choose(prediction, given))


USERS: dict[str, Callable[[Scene, int, int], Curve]] = {
    "in errors": in_errors,
    "anywhere": anywhere,
    "suggestions": following,
    "suggestions, from nothing": from_nothing,
}


def measure(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Let all users click on one image; clicks -> [accuracy, mean IoU], mean over the seeds."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(task, Path(folder), options.mode)
        curves, spread = {}, {}
        for name, user in USERS.items():
            runs = [user(scene, max(options.clicks), seed) for seed in range(options.seeds)]
            common = sorted(set.intersection(*(set(run) for run in runs)))
            curves[name] = {n: np.mean([run[n] for run in runs], axis=0).tolist() for n in common}
            last = [run[max(options.clicks)][0] for run in runs]
            spread[name] = float(np.std(last))
            print(f"  {name}: {_cells(curves[name], options.clicks)}", file=sys.stderr, flush=True)
    return {
        "curves": curves,
        "spread": spread,
        "classes": task.class_names,
        "seeds": options.seeds,
        "passed_over": scene.passed_over,
        "suggest_ms": 1000 * float(np.median(scene.suggest_s)),
    }


def clicks_to(curve: dict[int, list[float]], level: float, which: int) -> str:
    """First number of clicks at which the mean accuracy (``which`` 0) or mean IoU (1) is reached."""
    reached = [n for n, pair in sorted(curve.items()) if pair[which] >= level]
    return str(reached[0]) if reached else f"> {max(curve)}"


def _cells(curve: dict[int, list[float]], budgets: Sequence[int]) -> str:
    return " | ".join(f"{curve[n][0]:.3f} / {curve[n][1]:.3f}" if n in curve else "" for n in budgets)


def table(results: dict[str, Any], budgets: Sequence[int]) -> str:
    """Markdown: accuracy / mean IoU at the budgets, their mean over all clicks, and clicks to the best of "in errors".

    The best of the whole mean curve, not its end: a curve that rises and falls again would be reached too easily.
    """
    lines = [
        f'| image | user | {" | ".join(f"{n} clicks" for n in budgets)} | mean of all clicks | clicks to the best of "in errors" |',
        "|" + "---|" * (len(budgets) + 4),
    ]
    for title, result in results.items():
        curves = {
            name: {int(n): pair for n, pair in curve.items()} for name, curve in result["curves"].items()
        }
        peer = curves["in errors"]
        shared = [n for n in peer if n >= min(budgets)]
        best = [max(pair[which] for pair in peer.values()) for which in (0, 1)]
        for name, curve in curves.items():
            mean = np.mean([curve[n] for n in shared], axis=0)
            needed = " / ".join(clicks_to(curve, best[which], which) for which in (0, 1))
            lines.append(
                f"| {title} | {name} | {_cells(curve, budgets)} | {mean[0]:.3f} / {mean[1]:.3f} | {needed} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--image", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--size", type=int, default=1000, help="side of the crop in pixels; 0 = whole image")
    parser.add_argument("--offset", type=int, nargs=2, default=[0, 0], metavar=("ROW", "COL"))
    parser.add_argument("--clicks", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--mode", choices=["fast", "best"], default="fast")
    parser.add_argument("--json", type=Path, help="keep results here, and go on from those that are there")
    options = parser.parse_args()
    if (options.image is None) != (options.truth is None):
        parser.error("give --image and --truth together")
    if options.seeds < 1 or min(options.clicks) < 1:
        parser.error("--seeds and --clicks must be 1 or more")
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    wanted = {}
    if options.image:
        wanted[options.image.name] = (options.image, options.truth, tuple(options.offset), options.size)
    for key in [] if options.image else options.only:
        image = IMAGES[key]
        if not (DATA / image.image).exists():
            raise SystemExit(f"{DATA / image.image} is missing; give --image and --truth.")
        with rasterio.open(DATA / image.image) as source:
            size = options.size if min(source.shape) > options.size else 0
        title = image.title + ("*" if image.is_tuned_on else "")
        wanted[title] = (DATA / image.image, DATA / image.truth, image.offset if size else (0, 0), size)
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for title, (path, truth, offset, size) in wanted.items():
        if title in results:
            continue
        print(title, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            results[title] = measure(load_task("scene", path, truth, Path(folder), size, offset), options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    # What was just measured has numbers as keys, what was read has text.
    results = json.loads(json.dumps({title: results[title] for title in wanted}))
    print(table(results, options.clicks))
    for title, result in results.items():
        print(
            f"\n{title}: {result['seeds']} seeds, {len(result['classes'])} classes, {result['passed_over']} suggestions passed "
            f"over (truth unknown), {result['suggest_ms']:.0f} ms to rank."
        )


if __name__ == "__main__":
    main()
