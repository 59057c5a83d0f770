"""A short hash of everything that determines the frames of a store. `encode` uses it to detect an outdated store.

It covers the source files in the folders of the task and of the renderer (for a task outside this package, of all
render functions); the settings of the task; and the frames that are currently rendered of fixed parts, which other
versions of the libraries may change. What a notebook defines has no source file, and always a new hash. A file that is
edited after its module was imported counts once the module is reloaded.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from evlib.frames.parts import Audio, Clip, End, Example, Image, Text, Word
from evlib.frames.render import render, render_example

if TYPE_CHECKING:
    from evlib.data.tasks import Task

_PIXELS = np.arange(2 * 24 * 32 * 3, dtype=np.uint8).reshape(2, 24, 32, 3)
_WAVE = np.sin(np.arange(2000, dtype=np.float32) ** 1.5 / 200)
PROBE = Example(
    [Text("what color ?"), Image(_PIXELS[0]), Audio(_WAVE, 8000), Clip(_PIXELS, [(8.5, 8.25, 40.0, 30.0), None])],
    [Word("t-shirt"), End()],
)


def code_fingerprint(task: Task) -> str:
    """16 hex digits that change when the frames of this task's examples, or the examples themselves, may change."""
    kinds = [kind for kind in type(task).__mro__ if kind.__module__ not in ("abc", "builtins")]
    makers = [*kinds, render_example]
    if not type(task).__module__.startswith("evlib."):  # it may have parts of its own
        makers += render.registry.values()
    found = [_file(maker) for maker in makers]
    if None in found:
        return os.urandom(8).hex()
    modules = {file: module for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))}
    paths = [path for folder in sorted({path.parent for path in found}) for path in sorted(folder.glob("*.py"))]
    sources = [_source(path, modules.get(str(path))) for path in paths]
    inputs, outputs, _ = render_example(PROBE)
    rendered = [frame.pixels.tobytes() for frame in (*inputs, *outputs)]
    settings = repr((task.max_inputs, sorted(vars(task).items()))).encode()
    return hashlib.sha256(b"".join([*sources, *rendered, settings])).hexdigest()[:16]


def _file(maker: type | Callable) -> Path | None:
    """Where a class or function is defined; None in a notebook."""
    try:
        path = Path(inspect.getfile(maker))
    except (TypeError, OSError):
        return None
    return path if path.is_file() else None


_read: dict[Path, tuple[object, bytes]] = {}  # source file -> the state of its module, and the source then


def _source(path: Path, module: ModuleType | None) -> bytes:
    """The source of a file, as it was when its module was first asked for since it was last loaded."""
    state = getattr(module, "__spec__", None)  # a new object after every reload
    if state is None or path not in _read or _read[path][0] is not state:
        _read[path] = state, path.read_bytes()
    return _read[path][1]
