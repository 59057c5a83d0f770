"""What a miniature is: the one record that every generator in this package hands to the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Miniature:
    """One small data set made by code, in the layout of the real one."""

    name: str  # how callers ask for it, e.g. "sst2"
    folder: str  # the folder of the real data set, created under the data root
    version: int  # raise it whenever the same seed would give other bytes
    about: str  # one sentence for people who find the folder on their disk
    fill: Callable[[Path, np.random.Generator], tuple[int, int]]
    """Writes the files into an existing empty folder; returns (training examples, test examples)."""

    def rng(self, seed: int) -> np.random.Generator:
        """A stream that depends on seed and name alone, so that the choice of other sets changes nothing."""
        return np.random.default_rng([seed, *self.name.encode()])
