"""What a segmentation is to learn: nothing, a network as it is, or the scene itself within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.blockwork import BlockWork, Superpixels
from segmentation.errors import InvalidArgumentError
from segmentation.features.filters import FilterBank
from segmentation.features.normalize import BandScaling, FeatureScaling
from segmentation.learning.encoder import Encoder
from segmentation.learning.network import Network, load_network
from segmentation.learning.scenes import learn_from_windows, training_windows
from segmentation.learning.training import TrainingProgress
from segmentation.objects import StorePath
from segmentation.rasters.windows import Window

__all__ = ["DEFAULT_SECONDS", "LearningPlan", "fit_features", "plan_learning", "read_encoder"]

DEFAULT_SECONDS = 60.0
_MOST_SECONDS = 24 * 3600.0
_EMBEDDING_WEIGHT = 0.35  # of the embedding beside the filter bank, in distances
_NETWORK, _CHECKPOINT = "network.safetensors", "training.safetensors"


@dataclass
class LearningPlan:
    """``network`` to start from or to apply; ``seconds`` or ``steps`` of training, 0 for none."""

    network: Network | None = None
    seconds: float = 0.0
    steps: int | None = None
    learned: dict[str, Any] | None = field(default=None)  # once done: how

    @property
    def trains(self) -> bool:
        """Whether the scene itself is learned from."""
        return self.seconds > 0 if self.steps is None else self.steps > 0

    @property
    def scaling(self) -> BandScaling | None:
        """Fixed scaling of the bands that the network asks for, if it does."""
        return None if self.network is None else self.network.scaling

    @property
    def parameters(self) -> dict[str, Any]:
        """What tells two plans apart, fit for JSON."""
        return {
            "network": None if self.network is None else self.network.fingerprint,
            "train_seconds": self.seconds if self.trains and self.steps is None else None,
            "train_steps": self.steps if self.trains else None,
        }

    def check_bands(self, n_bands: int) -> None:
        """Raise FeatureMismatchError where the network does not fit a scene."""
        if self.network is not None:
            self.network.check_bands(n_bands)

    def encoder_for(
        self,
        work: BlockWork,
        looked_at: Sequence[tuple[Window, Superpixels]],
        seed: int,
        store: StorePath,
        parameters: dict[str, Any],
        progress: Callable[[TrainingProgress], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Encoder | None:
        """Encoder for a scene, trained on the windows that were looked at if so planned; None where nothing is planned.

        A training is kept in the folder of the store, and one with the same parameters is continued from there.
        """
        start = None if self.network is None else self.network.encoder
        if not self.trains:
            self.learned = None if self.network is None else {"network": self.network.fingerprint, "steps": 0}
            return start
        pixels = np.concatenate([found.pixels for _, found in looked_at])
        features = np.concatenate([found.features for _, found in looked_at])
        bank = fit_features(features, pixels, work.scaling.n_channels)
        encoder, self.learned = learn_from_windows(
            training_windows(work, looked_at, bank, seed),
            seed=seed,
            device=work.device,
            seconds=self.seconds,
            steps=self.steps,
            start=start,
            checkpoint=store / _CHECKPOINT,
            parameters=parameters,
            progress=progress,
            cancelled=cancelled,
        )
        self.learned["network"] = self.parameters["network"]
        return encoder

    def keep_encoder(self, work: BlockWork, folder: StorePath) -> None:
        """Write the encoder into the store's folder: blocks that are still to come, and other scenes, need it."""
        if work.encoder is not None:
            # Principal components are the scene's own, so whoever applies the network needs these very ones.
            scaling = None if work.scaling.components is None else work.scaling
            network = Network(work.encoder, work.reader.n_bands, scaling, self.learned or {})
            network.save(folder / _NETWORK)


def plan_learning(
    mode: str, network: str | Path | None, seconds: float | None, steps: int | None
) -> LearningPlan:
    """Turn the arguments of a segmentation into a plan.

    Raises
    ------
    InvalidArgumentError
        If they are out of range, or ask for training in mode "fast".
    NetworkError
        If the network cannot be read.
    """
    if steps is not None and steps < 0:
        raise InvalidArgumentError(f"{steps} training steps were asked for; choose 0 or more.")
    if seconds is not None and not 0 <= seconds <= _MOST_SECONDS:
        raise InvalidArgumentError(
            f"{seconds:g} seconds of training were asked for; choose 0 to {_MOST_SECONDS:g}."
        )
    if mode == "fast" and (seconds or steps):
        raise InvalidArgumentError(
            'In mode "fast" nothing is trained; choose "best", or 0 seconds of training.'
        )
    if seconds is None:
        seconds = DEFAULT_SECONDS if mode == "best" and network is None else 0.0
    return LearningPlan(None if network is None else load_network(network), seconds, steps)


def fit_features(
    features: NDArray[np.float32], pixels: NDArray[np.float32], n_channels: int
) -> FeatureScaling:
    """Scale filter features by their importance, and the embedding, as a whole, to weigh as much as all of them.

    Parameters
    ----------
    features : float32 array, shape (n, D)
        Of superpixels: filter bank, then the embedding if there is one.
    pixels : float32 array, shape (n,)
        Pixels of each superpixel.
    n_channels : int
        Channels of the filter bank.
    """
    bank = FilterBank(n_channels).importance
    learned = features[:, len(bank) :]
    if not learned.shape[1]:
        return FeatureScaling.fit(features, pixels, bank)
    # One factor for all: directions in which embeddings hardly differ must not be blown up.
    deviation = np.sqrt(
        np.average(np.square(learned - np.average(learned, axis=0, weights=pixels)), axis=0, weights=pixels)
    )
    whole = max(float(np.sqrt(np.square(deviation).sum())), 1e-6)
    weight = _EMBEDDING_WEIGHT * float(np.sqrt(np.square(bank).sum()))
    return FeatureScaling.fit(
        features,
        pixels,
        np.concatenate([bank, np.maximum(deviation, 1e-6) * (weight / whole)]).astype(np.float32),
    )


def read_encoder(store: StorePath) -> Encoder | None:
    """The encoder that a segmentation was made with, if there was one."""
    path = store / _NETWORK
    return load_network(path).encoder if path.exists() else None
