"""A short hash of everything that determines the frames of a store. `encode` uses it to detect an outdated store.

It covers the code and constants that make and render a task's examples, wherever they are defined, even in a notebook;
and the frames that the renderer currently makes of fixed parts, which other versions of the libraries may change. It
hashes compiled code: comments, docstrings and formatting do not affect it, the version of Python does.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import numpy as np

from evlib.frames.parts import Audio, Clip, End, Example, Image, Text, Word
from evlib.frames.render import render, render_example

if TYPE_CHECKING:
    from evlib.data.tasks import Task

STARTS = ("items", "max_inputs", "vocabulary", "notes")  # what `encode` uses of a task
SCALARS = (str, bytes, int, float, complex, type(None), type(...), Path, np.generic)
STDLIB = sysconfig.get_path("stdlib")
_PIXELS = np.arange(2 * 24 * 32 * 3, dtype=np.uint8).reshape(2, 24, 32, 3)
_WAVE = np.sin(np.arange(2000, dtype=np.float32) ** 1.5 / 200)
PROBE = Example(
    [Text("what color ?"), Image(_PIXELS[0]), Audio(_WAVE, 8000), Clip(_PIXELS, [(8.5, 8.25, 40.0, 30.0), None])],
    [Word("t-shirt"), End()],
)


def code_fingerprint(task: Task) -> str:
    """16 hex digits that change when the frames of this task's examples, or the examples themselves, may change."""
    walk = _Walk(type(task))
    walk.value(vars(task))
    for name in STARTS:
        walk.name(name, [])
    walk.value(render_example)
    inputs, outputs, _ = render_example(PROBE)
    walk.values(frame.pixels for frame in (*inputs, *outputs))
    return walk.digest.hexdigest()[:16]


class _Walk:
    """Follows the names in compiled code to functions, constants and classes, and hashes what it finds."""

    def __init__(self, task: type[Task]):
        self.task, self.digest, self.seen = task, hashlib.sha256(), {}

    def add(self, thing: object) -> None:
        self.digest.update(repr(thing).encode() + b"\n")

    def name(self, name: str, scopes: Iterable[Mapping]) -> None:
        """What a name in a task's code may refer to: an attribute of the task, or a global of one of the `scopes`."""
        self.add(name)
        for scope in (*map(vars, self.task.__mro__), *scopes):
            if name in scope:
                self.value(scope[name])

    def value(self, value: object) -> None:
        if isinstance(value, SCALARS):
            return self.add(value)
        if id(value) in self.seen:
            return self.add(self.seen[id(value)][0])
        self.seen[id(value)] = len(self.seen), value  # a reference, so that its id is not reused
        value = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if callable(value):
            value = inspect.unwrap(value)
        if isinstance(value, np.ndarray):
            self.add((value.dtype, value.shape, value.tobytes()))
        elif isinstance(value, (set, frozenset)):
            self.add(sorted(map(repr, value)))
        elif isinstance(value, (list, tuple)):
            self.values(value)
        elif isinstance(value, Mapping):
            self.values([*value.keys(), *value.values()])
        elif isinstance(value, (type, FunctionType, ModuleType)):
            self.add(value.__name__)
            if _is_library(value):
                return
            if isinstance(value, type):
                self.type(value)
            elif isinstance(value, FunctionType):
                self.code(value.__code__, value.__globals__, value.__doc__)
                cells = [cell.cell_contents for cell in value.__closure__ or ()]
                self.values([value.__defaults__, value.__kwdefaults__, *cells])
        else:
            self.value(type(value))
            if not _is_library(type(value)):
                self.value(getattr(value, "__dict__", None))

    def values(self, values: Iterable) -> None:
        for value in values:
            self.value(value)

    def type(self, kind: type) -> None:
        for name, member in vars(kind).items():
            if callable(member) or not name.startswith("__"):
                self.add(name)
                self.value(member)
        self.values(kind.__bases__)
        self.value(render.dispatch(kind))  # for a part: its render function

    def code(self, code: CodeType, scope: Mapping, doc: str | None = None) -> None:
        self.add(code.co_code)
        modules = [scope[name] for name in code.co_names if isinstance(scope.get(name), ModuleType)]
        scopes = [scope, *(vars(module) for module in modules if not _is_library(module))]
        for name in code.co_names:
            self.name(name, scopes)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.code(constant, scope)
            elif constant != doc:
                self.value(constant)


def _is_library(thing: type | FunctionType | ModuleType) -> bool:
    """Whether it belongs to Python or an installed package, and so is not followed."""
    name = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
    if name == "__main__" or name.startswith("evlib.") or name not in sys.modules:
        return False
    file = getattr(sys.modules[name], "__file__", None)
    return file is None or file.startswith(STDLIB) or "-packages" in file
