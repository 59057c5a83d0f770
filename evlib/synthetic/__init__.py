"""Miniatures: small data sets made by code, written in the official layouts of the real ones.

They let everything in this project run on a laptop without a download. Because the files look exactly like the
originals, the loaders cannot tell the difference; a file `MINIATURE.json` in each folder tells people and programs.

    from evlib import synthetic
    synthetic.write(Path("data"))                    # all of them, a minute or two
    synthetic.write(Path("data"), names=["sst2"])    # only the reviews

To add a data set, write a module that defines a `Miniature` and name it in `_REGISTRY` below.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evlib.config import nearest
from evlib.data.sources import MINIATURE
from evlib.synthetic import audiomnist, cifar10, clevrer, lasot, sst2, tgifqa, tinyvirat
from evlib.synthetic.spec import Miniature
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

_REGISTRY: dict[str, Miniature] = {
    m.name: m
    for m in (
        sst2.SST2,
        cifar10.CIFAR10,
        tinyvirat.TINYVIRAT,
        audiomnist.AUDIOMNIST,
        audiomnist.FSDD,
        clevrer.CLEVRER,
        tgifqa.TGIFQA,
        lasot.LASOT,
    )
}

NAMES: tuple[str, ...] = tuple(_REGISTRY)


def write(out: Path, seed: int = 0, names: Sequence[str] | None = None, log: Callable[[str], None] = log_line) -> None:
    """Write the named miniatures (default: all) under `out`, each in the folder its real data set would have.

    A set that is already there with the same version and seed is left alone. One with another version or seed is
    replaced. A folder without MINIATURE.json may be somebody's real data: EvlibError, and nothing in it is touched.
    With the same numpy and Pillow, a seed gives byte-identical files, whichever other sets are written beside them.
    """
    out = Path(out)
    wanted = [_find(name) for name in (NAMES if names is None else names)]
    for miniature in wanted:  # refuse before anything is written
        _refuse_real_data(out / miniature.folder)
    with progress.bar("miniatures", len(wanted), "data sets", log) as bar:
        for miniature in wanted:
            bar.set_postfix_str(miniature.name)
            _write_one(miniature, out / miniature.folder, seed, log)
            bar.update()


def describe(folder: Path) -> dict | None:
    """The contents of a folder's MINIATURE.json, or None where there is none (real data, or no folder)."""
    try:
        return json.loads((Path(folder) / MINIATURE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write_one(miniature: Miniature, target: Path, seed: int, log: Callable[[str], None]) -> None:
    if _is_current(target, miniature, seed):
        log(f"{miniature.name}: miniature already in {target} (version {miniature.version}, seed {seed})")
        return
    start = time.perf_counter()
    with files.atomic(target) as draft:  # an interrupted run never leaves half a data set behind
        draft.mkdir()
        train, test = miniature.fill(draft, miniature.rng(seed))
        marker = {
            "miniature": True,
            "seed": seed,
            "version": miniature.version,
            "train": train,
            "test": test,
            "about": miniature.about,
        }
        (draft / MINIATURE).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    log(f"{miniature.name}: {train} training and {test} test examples in {target}, {time.perf_counter() - start:.1f} s")


def _is_current(target: Path, miniature: Miniature, seed: int) -> bool:
    found = describe(target)
    return found is not None and (found.get("version"), found.get("seed")) == (miniature.version, seed)


def _refuse_real_data(target: Path) -> None:
    if target.exists() and describe(target) is None:
        raise EvlibError(
            f"{target} exists but holds no {MINIATURE}, so it may be real data: move it away or choose another folder."
        )


def _find(name: str) -> Miniature:
    if name not in _REGISTRY:
        raise EvlibError(f"No miniature is called {name!r}{nearest(name, list(NAMES))}")
    return _REGISTRY[name]
