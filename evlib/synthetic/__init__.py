"""Small synthetic data sets in the file formats of the official ones, so that no loader can tell which it reads.

    synthetic.write(Path("data"), names=["sst2"])    # only the reviews; without `names` all, in a minute or two

A file MINIATURE.json marks each folder for people and programs. To add one, write its `fill`; list it in MINIATURES.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evlib.config import nearest
from evlib.data.sources import MINIATURE, is_miniature
from evlib.synthetic import audiomnist, cifar10, clevrer, lasot, sst2, tgifqa, tinyvirat
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line


@dataclass(frozen=True)
class Miniature:
    """One small data set made by code, in the layout of the real one."""

    name: str  # how callers ask for it
    folder: str  # the folder of the real data set, created under the data root
    version: int  # increase it whenever the same seed would give other bytes
    write: Callable[[Path, np.random.Generator], tuple[int, int]]  # files into an empty folder -> train, test examples
    about: str  # for people who find the folder on their disk

    def rng(self, seed: int) -> np.random.Generator:
        """A generator that depends on seed and name alone, so that the choice of other sets changes nothing."""
        return np.random.default_rng([seed, *self.name.encode()])

    def fill(self, folder: Path, seed: int = 0) -> tuple[int, int]:
        return self.write(folder, self.rng(seed))


MINIATURES = {
    m.name: m
    for m in (
        Miniature("sst2", "SST-2", 2, sst2.fill, "Film reviews from a small grammar with negation"),
        Miniature("cifar10", "cifar-10-batches-bin", 1, cifar10.fill, "Drawings of the ten classes"),
        Miniature("tinyvirat", "TinyVIRAT", 1, tinyvirat.fill, "People and vehicles on streets"),
        Miniature("audiomnist", "AudioMNIST", 1, audiomnist.fill, "Digits spoken by 60 synthetic voices"),
        Miniature("fsdd", "free-spoken-digit-dataset", 1, audiomnist.fill_fsdd, "Digits spoken by 6 synthetic voices"),
        Miniature("clevrer", "CLEVRER", 3, clevrer.fill, "Solids that roll, enter and collide, with questions"),
        Miniature("tgifqa", "tgif-qa", 2, tgifqa.fill, "Animated GIFs of colored things, with questions"),
        Miniature("lasot", "LaSOT", 2, lasot.fill, "Things that move over still backgrounds"),
    )
}


def write(out: Path, seed: int = 0, names: Sequence[str] | None = None, log: Callable[[str], None] = log_line) -> None:
    """Write the named miniatures (default: all) under `out`, each in the folder its real data set would have.

    An existing set with the same version and seed is left alone, any other is replaced; EvlibError for a folder without
    MINIATURE.json, which may be real data. With the same libraries, a seed gives the same bytes."""
    chosen = []
    for name in MINIATURES if names is None else names:
        if name not in MINIATURES:
            raise EvlibError(f"No miniature is called {name!r}{nearest(name, list(MINIATURES))}")
        chosen.append(MINIATURES[name])
        target = Path(out) / MINIATURES[name].folder
        if target.exists() and not is_miniature(target):
            todo = "move it away or choose another folder"
            raise EvlibError(f"{target} exists without {MINIATURE}, so it may be real data: {todo}.")
    with progress.bar("miniatures", len(chosen), "data sets", log) as bar:
        for miniature in chosen:
            bar.set_postfix_str(miniature.name, refresh=False)
            _write_one(miniature, Path(out) / miniature.folder, seed, log)
            bar.update()


def _write_one(miniature: Miniature, target: Path, seed: int, log: Callable[[str], None]) -> None:
    key = {"seed": seed, "version": miniature.version}
    if is_miniature(target) and key.items() <= json.loads((target / MINIATURE).read_text(encoding="utf-8")).items():
        log(f"{miniature.name}: miniature already in {target} (version {miniature.version}, seed {seed})")
        return
    start = time.perf_counter()
    with files.atomic(target) as draft:  # an interrupted run never leaves half a data set behind
        draft.mkdir()
        train, test = miniature.fill(draft, seed)
        about = f"{miniature.about}, made by code in the files of {miniature.folder}; not the real data."
        marker = {"miniature": True, **key, "train": train, "test": test, "about": about}
        (draft / MINIATURE).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    log(f"{miniature.name}: {train} training and {test} test examples in {target}, {time.perf_counter() - start:.1f} s")
