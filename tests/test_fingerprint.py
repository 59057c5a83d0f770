"""What decides a store's frames changes its fingerprint, wherever it is defined; nothing else does."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.fingerprint import code_fingerprint
from evlib.data.store import VideoStore
from evlib.data.tasks import audiomnist, sst2
from evlib.frames import boxes
from evlib.frames.parts import Example
from evlib.frames.render import render

SOURCE = '''
from dataclasses import dataclass

import numpy as np

from evlib.data.tasks import Item, Task
from evlib.data.tasks.answers import WordAnswer
from evlib.frames.parts import Example, Word
from evlib.frames.render import keyed, render

BRIGHTNESS = 100
REPEATS = {"train": 2, "validation": 1, "test": 1}


@dataclass(frozen=True)
class Patch:
    value: int


@render.register
def render_patch(part: Patch):
    return [keyed(np.full((64, 64, 3), part.value, np.uint8))]


def example(split):
    return Example([Patch(BRIGHTNESS)] * REPEATS[split], [Word(split)], answer=split)


class Patches(Task):
    """A task in a module of its own."""

    name, table2_row, dataset, folders, batch = "patches", "Patches", "Patches", ("patches",), 4
    answer = WordAnswer()
    demo = {"width": 64}

    def files(self, root):
        return [root / "list.txt"]

    def items(self, root):
        for split in REPEATS:
            yield Item(split, lambda split=split: example(split), f"list.txt:{split}", split)  # no file is opened
'''


class Module:
    """A module with a task, and the store made of it. `change` edits its file and imports it again."""

    def __init__(self, folder: Path):
        self.file, self.data, self.encoded = folder / "patches_task.py", folder / "data", 0
        (self.data / "patches").mkdir(parents=True)
        (self.data / "patches" / "list.txt").write_text("train validation test")
        self.file.write_text(SOURCE)
        self.module = importlib.import_module("patches_task")

    def change(self, old: str, new: str) -> None:
        source = self.file.read_text()
        assert old in source
        self.file.write_text(source.replace(old, new))
        importlib.invalidate_caches()
        self.module = importlib.reload(self.module)

    def encode(self) -> VideoStore:
        """The store; `encoded` counts how often it was really made."""

        def count(line: str) -> None:
            self.encoded += 1

        return encode(self.module.Patches(), self.data, log=count)


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within one second would go unnoticed
    yield Module(tmp_path)
    del sys.modules["patches_task"]


def test_nothing_changed_encodes_once(module):
    before = module.encode()
    assert (module.encode().sequences == before.sequences).all() and module.encoded == 1


@pytest.mark.parametrize(
    "old, new",
    [
        ("    value: int\n", "    value: int  # 0..255\n"),
        ('"""A task in a module of its own."""', '"""A task."""'),
        ("\n\ndef example", "\n\n\n\ndef example"),
        ('"width": 64', '"width": 32'),  # of training
    ],
    ids=["comment", "docstring", "formatting", "training"],
)
def test_what_does_not_touch_the_frames_encodes_nothing(module, old, new):
    module.encode()
    module.change(old, new)
    module.encode()
    assert module.encoded == 1


def test_an_edited_constant_encodes_again(module):
    assert 100 in module.encode().frames
    module.change("BRIGHTNESS = 100", "BRIGHTNESS = 200")
    frames = module.encode().frames
    assert module.encoded == 2 and 200 in frames and 100 not in frames


def test_an_edited_table_encodes_again(module):
    module.encode()
    module.change('"train": 2', '"train": 5')
    assert module.encode().metadata.n_in.tolist() == [6, 2, 2] and module.encoded == 2


def test_a_constant_changed_in_a_running_process_encodes_again(module, monkeypatch):
    module.encode()
    monkeypatch.setattr(module.module, "BRIGHTNESS", 200)
    assert 200 in module.encode().frames and module.encoded == 2
    monkeypatch.undo()
    assert 100 in module.encode().frames and module.encoded == 3


def test_an_edited_helper_and_an_edited_render_function_encode_again(module):
    module.encode()
    module.change("Patch(BRIGHTNESS)", "Patch(BRIGHTNESS + 1)")
    assert 101 in module.encode().frames and module.encoded == 2
    module.change("(64, 64, 3), part.value", "(64, 64, 3), part.value // 2")
    assert 50 in module.encode().frames and module.encoded == 3


def test_a_render_function_registered_again_encodes_again(module):
    module.encode()

    @render.register(module.module.Patch)
    def _(part):
        return [module.module.keyed(module.module.np.full((64, 64, 3), 255 - part.value, "uint8"))]

    assert 155 in module.encode().frames and module.encoded == 2


def test_a_part_of_another_task_changes_nothing(module):
    before = {name: code_fingerprint(task) for name, task in tasks.TASKS.items()}
    module.encode()
    module.change("part.value", "part.value + 1")
    assert {name: code_fingerprint(task) for name, task in tasks.TASKS.items()} == before


def test_the_width_of_a_box_counts(monkeypatch):
    before = code_fingerprint(tasks.get("lasot"))
    monkeypatch.setattr(boxes, "LINE", boxes.LINE + 1)
    assert code_fingerprint(tasks.get("lasot")) != before


def test_helpers_of_another_task_count(monkeypatch):
    before = code_fingerprint(tasks.get("fsdd"))
    monkeypatch.setattr(audiomnist, "spoken", lambda path, word: lambda: Example([], []))
    assert code_fingerprint(tasks.get("fsdd")) != before


def test_attributes_of_the_task_count(monkeypatch):
    before = code_fingerprint(tasks.get("sst2"))
    monkeypatch.setattr(sst2.SST2, "max_inputs", 5)
    assert code_fingerprint(tasks.get("sst2")) != before


def test_another_version_of_a_library_counts(monkeypatch):
    before = code_fingerprint(tasks.get("cifar10"))
    resize = Pillow.Image.resize
    monkeypatch.setattr(Pillow.Image, "resize", lambda image, *args, **kw: resize(image, *args, **kw).rotate(90))
    assert code_fingerprint(tasks.get("cifar10")) != before


def test_in_a_notebook_too():
    def defined(source: str) -> str:
        cell = {"__name__": "__main__"}
        exec(source, cell)  # no file, no source text
        return code_fingerprint(cell["Patches"]())

    before = defined(SOURCE)
    assert defined(SOURCE) == before == defined(SOURCE.replace("# no file is opened", ""))
    assert len({defined(SOURCE.replace(old, "3")) for old in ("100", "2", "part.value")} | {before}) == 4


def test_it_is_the_same_in_every_process():
    names = ("sst2", "tinyvirat", "lasot", "tgifqa")
    code = "import sys; from evlib.data import tasks; from evlib.data.fingerprint import code_fingerprint\n"
    code += "print(*(code_fingerprint(tasks.get(name)) for name in sys.argv[1:]))"
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [code_fingerprint(tasks.get(name)) for name in names]
