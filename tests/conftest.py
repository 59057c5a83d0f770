"""Data and runs that several test files share, all small enough to be made on the spot.

Tests on real data look for it in the folder that the environment variable EVLIB_DATA names, and skip without it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evlib import synthetic
from evlib.__main__ import main
from evlib.data import tasks
from evlib.frames.render import fingerprint
from evlib.model import NextFrame

WORDS = ["a", "charming", "film", ",", "not", "dull", "but", "often", "warm", "and", "bright"]


@pytest.fixture(scope="module")
def one_thread():
    """So small a network gains nothing from a second one, and loses much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """The miniatures of SST-2 and CIFAR-10."""
    out = tmp_path_factory.mktemp("miniatures")
    synthetic.write(out, names=["sst2", "cifar10"], log=lambda line: None)
    return out


@pytest.fixture
def data(tmp_path) -> Path:
    """A handful of examples of three data sets in their official layouts, for tests that change or break the files."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    for folder in ("SST-2", "cifar-10-batches-bin", "free-spoken-digit-dataset/recordings"):
        (root / folder).mkdir(parents=True)
    for name, count in (("train.tsv", 120), ("dev.tsv", 24)):
        lines = [f"{' '.join(rng.choice(WORDS, rng.integers(2, 26)))} \t{i % 2}\n" for i in range(count)]
        (root / "SST-2" / name).write_text("sentence\tlabel\n" + "".join(lines))
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        records.tofile(root / "cifar-10-batches-bin" / f"{name}.bin")
    for digit in range(3):
        for index in range(10):
            wave = np.sin(np.arange(2000) * (0.1 + 0.2 * digit)) * rng.uniform(0.2, 0.8)
            soundfile.write(root / f"free-spoken-digit-dataset/recordings/{digit}_ann_{index}.wav", wave, 8000)
    return root


@pytest.fixture
def make_run(tmp_path):
    """make_run("sst2") -> the run folder of a tiny network that was never trained."""

    def make(task: str = "sst2", vocabulary: Sequence[str] | None = None) -> Path:
        run = tmp_path / f"run-{task}"
        run.mkdir()
        config = tasks.get(task).config("demo", width=32, heads=1, local_blocks=1, global_blocks=1, steps=1)
        torch.manual_seed(0)
        safetensors.torch.save_model(NextFrame(config.model), run / "model.safetensors")
        answer = tasks.get(task).answer
        store = {
            "task": task,
            "dataset": "a set",
            "renderer": fingerprint(),
            "data": "miniature",
            "examples": "0" * 16,
            "vocabulary": answer.vocabulary([]) if vocabulary is None else list(vocabulary),
        }
        settings = {**json.loads(config.to_json()), "store": store}
        (run / "config.json").write_text(json.dumps(settings))
        return run

    return make


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command in this process. Returns its exit status, what it printed, and what it complained of."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evlib", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def largest_tensor():
    """`with largest_tensor() as largest:`, and largest() is the size of the largest tensor that torch computed, in
    bytes."""
    sizes = [0]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, work, types, arguments=(), options=None):
            made = work(*arguments, **(options or {}))
            sizes.extend(
                t.nbytes for t in (made if isinstance(made, (list, tuple)) else [made]) if isinstance(t, torch.Tensor)
            )
            return made

    @contextmanager
    def watch() -> Iterator[Callable[[], int]]:
        with Watch():
            yield lambda: max(sizes)

    return watch


@pytest.fixture
def official():
    """official("SST-2") -> that folder of real data; skips the test where there is none."""

    def find(name: str) -> Path:
        if "EVLIB_DATA" not in os.environ:
            pytest.skip("needs real data: set EVLIB_DATA to a folder with the official data sets")
        found = Path(os.environ["EVLIB_DATA"]) / name
        if not found.exists():
            pytest.skip(f"needs real data: no {name} under EVLIB_DATA")
        return found

    return find
