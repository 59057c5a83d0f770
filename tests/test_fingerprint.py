"""What decides a store's frames changes its fingerprint."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image as Pillow

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.fingerprint import code_fingerprint
from evlib.data.store import VideoStore
from evlib.data.tasks import sst2
from evlib.frames import boxes
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


def test_an_edited_constant_encodes_again(module):
    assert 100 in module.encode().frames
    module.change("BRIGHTNESS = 100", "BRIGHTNESS = 200")
    frames = module.encode().frames
    assert module.encoded == 2 and 200 in frames and 100 not in frames


def test_an_edited_helper_and_an_edited_render_function_encode_again(module):
    module.encode()
    module.change("Patch(BRIGHTNESS)", "Patch(BRIGHTNESS + 1)")
    assert 101 in module.encode().frames and module.encoded == 2
    module.change("(64, 64, 3), part.value", "(64, 64, 3), part.value // 2")
    assert 50 in module.encode().frames and module.encoded == 3


CELLS = """
class Mine(SST2):
    pass

def brighter(part):
    return [keyed(np.full((64, 64, 3), 255 - part.value, "uint8"))]
"""


def test_what_a_notebook_defines_is_encoded_each_time(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a kernel's has no file
    cell = {**vars(module.module), "__name__": "__main__", "SST2": sst2.SST2}
    exec(compile(CELLS, "<cell>", "exec"), cell)
    assert code_fingerprint(cell["Mine"]()) != code_fingerprint(cell["Mine"]())
    module.encode()
    before = render.dispatch(module.module.Patch)
    render.register(module.module.Patch, cell["brighter"])
    try:
        assert 155 in module.encode().frames and module.encoded == 2
        assert code_fingerprint(tasks.get("sst2")) == code_fingerprint(tasks.get("sst2"))  # no matter of others
    finally:
        render.register(module.module.Patch, before)


def test_a_file_that_is_edited_but_not_reloaded_changes_nothing_yet(module):
    """The frames would still be those of the old code."""
    before = code_fingerprint(module.module.Patches())
    module.file.write_text(SOURCE.replace("BRIGHTNESS = 100", "BRIGHTNESS = 200"))
    assert code_fingerprint(module.module.Patches()) == before
    module.change("BRIGHTNESS = 200", "BRIGHTNESS = 201")  # and reloads it
    assert code_fingerprint(module.module.Patches()) != before


def turned(image, *args, resize=Pillow.Image.resize, **options):
    return resize(image, *args, **options).rotate(90)


@pytest.mark.parametrize(
    "task, owner, name, value",
    [
        ("lasot", boxes, "LINE", boxes.LINE + 1),
        ("sst2", sst2.SST2, "max_inputs", 5),
        ("cifar10", Pillow.Image, "resize", turned),  # as of another version of a library
    ],
)
def test_what_a_task_uses_counts(monkeypatch, task, owner, name, value):
    before = code_fingerprint(tasks.get(task))
    monkeypatch.setattr(owner, name, value)
    assert code_fingerprint(tasks.get(task)) != before


def test_it_is_the_same_in_every_process():
    names = ("sst2", "tinyvirat", "lasot", "tgifqa")
    code = "import sys; from evlib.data import tasks; from evlib.data.fingerprint import code_fingerprint\n"
    code += "print(*(code_fingerprint(tasks.get(name)) for name in sys.argv[1:]))"
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [code_fingerprint(tasks.get(name)) for name in names]
