"""Learning an encoder from windows of scenes, without labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segmentation.errors import CancelledError, EmptySceneError, FeatureMismatchError, InvalidArgumentError
from segmentation.learning.crops import Batch, CropSource, TrainingWindow
from segmentation.learning.encoder import Encoder, bfloat16_is_fast
from segmentation.learning.recipe import Recipe
from segmentation.learning.targets import Targets, find_targets, whiten

__all__ = ["Training", "TrainingProgress"]

_CALIBRATION_STEPS = 4
_LEAST_SUPERPIXELS = 8  # fewer have nothing to tell apart
_CHECKPOINT_S = 20.0
_LONGEST_GRADIENT = 5.0
_WEIGHT_DECAY = 1e-4
_WARM_UP = 0.15  # share of a round


@dataclass(frozen=True)
class TrainingProgress:
    """``step`` of ``steps`` in round ``round`` (from 0) of ``rounds``; ``loss``: running mean; ``balance``: entropy of the pseudo-
    classes' shares, 1 = all of one size; ``left_s``: expected seconds to the end."""

    step: int
    steps: int
    round: int
    rounds: int
    loss: float
    balance: float
    left_s: float


class Training:
    """Trains one encoder.

    Parameters
    ----------
    windows : sequence of TrainingWindow
        Of one scene or many, all with the same number of channels.
    recipe : Recipe
    seed : int
        Same windows, recipe, seed, steps, device and number of threads: same weights.
    device : str
        "cpu" or a torch CUDA device.
    start : Encoder, optional
        Weights to begin with; random ones by default.
    half : bool, optional
        Compute convolutions in bfloat16; by default where the device is fast at it.

    Raises
    ------
    EmptySceneError
        If the windows hold too few superpixels to tell any apart.
    FeatureMismatchError
        If ``start`` is of another shape than the recipe's.
    """

    def __init__(
        self,
        windows: Sequence[TrainingWindow],
        recipe: Recipe | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        start: Encoder | None = None,
        half: bool | None = None,
    ) -> None:
        windows = [window for window in windows if len(window.pixels)]
        n_superpixels = sum(len(window.pixels) for window in windows)
        if n_superpixels < _LEAST_SUPERPIXELS:
            raise EmptySceneError(
                f"The images hold {n_superpixels} superpixels with data; a network needs {_LEAST_SUPERPIXELS} or more to "
                "learn from."
            )
        self.recipe = recipe or Recipe()
        self.seed, self.device = seed, device
        self.half = bfloat16_is_fast(device) if half is None else half
        self.source = CropSource(windows, self.recipe)
        self._bank = np.concatenate([window.features for window in windows])
        n_channels = len(windows[0].image) - 1
        torch.manual_seed(seed)
        self.encoder = Encoder(n_channels, self.recipe.widths, self.recipe.n_features)
        if start is not None:
            _check_start(start, self.encoder)
            self.encoder.load_state_dict(start.state_dict())
        self.encoder.to(device)
        self.from_scratch = start is None
        self.done = 0  # steps
        self._round: _Round | None = None

    def steps_within(self, seconds: float) -> int:
        """How many steps fit a budget, clusterings included, by timing a few (whose effect is taken back)."""
        state = {name: value.clone() for name, value in self.encoder.state_dict().items()}
        began = time.perf_counter()
        trial = self._begin(0, _CALIBRATION_STEPS + 1)
        clustering_s = time.perf_counter() - began
        self._step(trial, 0)  # the first one also prepares
        began = time.perf_counter()
        for step in range(1, _CALIBRATION_STEPS + 1):
            self._step(trial, step)
        step_s = (time.perf_counter() - began) / _CALIBRATION_STEPS
        self.encoder.load_state_dict(state)
        return max(self.recipe.rounds, int((seconds - self.recipe.rounds * clustering_s) / step_s))

    def run(
        self,
        steps: int,
        progress: Callable[[TrainingProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        checkpoint: Callable[[dict[str, Tensor]], None] | None = None,
    ) -> Encoder:
        """Train up to ``steps`` steps in all, and give the encoder, ready to embed.

        Parameters
        ----------
        steps : int
            At least one a round.
        progress : callable, optional
            Called after each step.
        cancelled : callable, optional
            Asked before each step; `CancelledError` is raised when it says True.
        checkpoint : callable, optional
            Called with `state` now and then; `restore` continues from it.
        """
        rounds = self.recipe.rounds
        if steps < rounds:
            raise InvalidArgumentError(f"{steps} steps were asked for; choose {rounds} or more.")
        began, first, saved, loss = time.perf_counter(), self.done, time.perf_counter(), None
        for place in range(self.done, steps):
            if cancelled is not None and cancelled():
                raise CancelledError("The training was cancelled.")
            turn = min(place * rounds // steps, rounds - 1)
            start = -(-turn * steps // rounds)
            if self._round is None or self._round.number != turn:
                end = -(-(turn + 1) * steps // rounds)
                self._round = self._begin(turn, end - start)
            value = self._step(self._round, place - start)
            loss = value if loss is None else 0.95 * loss + 0.05 * value
            self.done = place + 1
            if progress is not None:
                left = (time.perf_counter() - began) / (self.done - first) * (steps - self.done)
                progress(
                    TrainingProgress(
                        self.done, steps, turn, rounds, loss, self._round.targets.balance(), left
                    )
                )
            if checkpoint is not None and time.perf_counter() - saved > _CHECKPOINT_S:
                checkpoint(self.state())
                saved = time.perf_counter()
        return self.encoder.eval()

    def embed(self) -> NDArray[np.float32]:
        """Embeddings of all superpixels, shape (n, E), of the images as they are."""
        return self.source.embed(self.encoder, self.device, self.half)

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to go on as if nothing had happened; copies."""
        tensors = {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        tensors["done"] = torch.tensor(self.done)
        if self._round is not None:
            tensors |= {f"round.{name}": value for name, value in self._round.state().items()}
        return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `state` of a training with the same windows, recipe and seed.

        Raises
        ------
        FeatureMismatchError
            If it is of other windows or another recipe.
        """
        try:
            self.encoder.load_state_dict(_below(tensors, "encoder."))
            part = _below(tensors, "round.")
            if part:
                if part["labels"].shape[1] != len(self._bank):
                    raise ValueError("other superpixels")
                self._round = _Round.restored(part, self)
            self.done = int(tensors["done"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise FeatureMismatchError(
                f"The interrupted training does not fit these images ({error}); start it anew."
            ) from error

    def _begin(self, number: int, steps: int) -> _Round:
        """Find the pseudo-labels of a round and the heads that are to tell them."""
        embedding = self.embed()
        # A network that has learned already gives better classes than the filters.
        by_bank = number == 0 and self.from_scratch
        points = self._bank if by_bank else whiten(embedding, self.source.pixels)
        seed = self.seed + 1000 * number
        targets = find_targets(points, embedding, self.source.pixels, self.recipe.clusters, seed, self.device)
        return _Round(number, steps, targets, self)

    def _step(self, current: _Round, step: int) -> float:
        """One step of a round; its loss."""
        batch = self.source.batch(
            current.chances, np.random.default_rng((self.seed, current.number, step)), self.device
        )
        self.encoder.train()
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.half):
            embedding = self.encoder(batch.image, batch.pooling)
        loss = current.loss(embedding, batch, self.recipe)
        current.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(current.parameters, _LONGEST_GRADIENT)
        for group in current.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * _share_of_rate(step / current.steps)
        current.optimizer.step()
        return float(loss.detach())


class _Round:
    """Pseudo-labels, heads and optimizer between two clusterings."""

    def __init__(self, number: int, steps: int, targets: Targets, training: Training) -> None:
        self.number, self.steps, self.targets = number, steps, targets
        device = training.device
        self.labels = torch.from_numpy(targets.labels).to(device)
        self.heads = [nn.Parameter(torch.from_numpy(center).to(device)) for center in targets.centers]
        # Rare classes count for more, though less than in proportion.
        self.weights = []
        for labels, centers in zip(targets.labels, targets.centers, strict=True):
            weight = 1 / np.sqrt(np.maximum(np.bincount(labels, minlength=len(centers)), 1))
            self.weights.append(
                torch.from_numpy((weight / weight[labels].mean()).astype(np.float32)).to(device)
            )
        middle = targets.labels[len(targets.labels) // 2]
        chances = np.cumsum(1 / np.bincount(middle)[middle])
        self.chances = chances / chances[-1]  # every class of the middle clustering is drawn as often
        self.parameters = [*training.encoder.parameters(), *self.heads]
        self.optimizer = torch.optim.AdamW(
            self.parameters, training.recipe.learning_rate, weight_decay=_WEIGHT_DECAY
        )

    def loss(self, embedding: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
        """Cross-entropy of both views against the pseudo-labels, and how far the views are apart."""
        whole = torch.from_numpy(batch.whole).to(embedding.device)
        chosen = torch.from_numpy(batch.superpixels).to(embedding.device)[whole]
        n = len(batch.superpixels)
        first, second = embedding[:n][whole], embedding[n:][whole]
        both = torch.cat([first, second])
        total = recipe.agreement * (1 - (first * second).sum(dim=1)).mean()
        for labels, head, weights in zip(self.labels, self.heads, self.weights, strict=True):
            wanted = labels[chosen]
            logits = both @ functional.normalize(head, dim=1).T / recipe.temperature
            entropy = functional.cross_entropy(logits, torch.cat([wanted, wanted]), reduction="none")
            total = total + (entropy * weights[wanted].repeat(2)).mean() / len(self.heads)
        return total

    def state(self) -> dict[str, Tensor]:
        tensors = {
            "number": torch.tensor(self.number),
            "steps": torch.tensor(self.steps),
            "labels": self.labels,
        }
        for i, (head, center) in enumerate(zip(self.heads, self.targets.centers, strict=True)):
            tensors[f"head.{i}"], tensors[f"center.{i}"] = head, torch.from_numpy(center)
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moment.{i}.{name}": value for name, value in moments.items()}
        return tensors

    @classmethod
    def restored(cls, tensors: dict[str, Tensor], training: Training) -> _Round:
        n = len(tensors["labels"])
        targets = Targets(tensors["labels"].numpy(), [tensors[f"center.{i}"].numpy() for i in range(n)])
        found = cls(int(tensors["number"]), int(tensors["steps"]), targets, training)
        with torch.no_grad():
            for i, head in enumerate(found.heads):
                head.copy_(tensors[f"head.{i}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "moment.").items():
            place, kind = name.split(".")
            moments.setdefault(int(place), {})[kind] = value
        plain = found.optimizer.state_dict()
        found.optimizer.load_state_dict({**plain, "state": moments})
        return found


def _check_start(start: Encoder, wanted: Encoder) -> None:
    """Raise FeatureMismatchError where an encoder cannot be trained further."""
    shape, ours = ((one.n_channels, *one.widths, one.n_features) for one in (start, wanted))
    if shape != ours:
        raise FeatureMismatchError(
            f"The network has another shape (channels, widths, features: {shape}) than networks trained here ({ours}); "
            "apply it as it is, or learn from the scene alone."
        )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _share_of_rate(share: float) -> float:
    """Learning rate over a round, as a share of its peak: a short rise, then half a cosine."""
    if share < _WARM_UP:
        return 0.05 + 0.95 * share / _WARM_UP
    return max(1e-3, 0.5 * (1 + float(np.cos(np.pi * (share - _WARM_UP) / (1 - _WARM_UP)))))
