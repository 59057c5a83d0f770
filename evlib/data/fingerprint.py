"""A short hash of everything that determines the frames of a store. `encode` uses it to detect an outdated store.

It covers the source files of the renderer, of the task and beside the task's; the settings of the task; and the frames
that the renderer currently makes of fixed parts, which other versions of the libraries may change.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evlib import frames
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
    makers = (type(task), *render.registry.values())
    if any(maker.__module__ == "__main__" for maker in makers):  # of a notebook, whose cells may change: encode again
        return os.urandom(8).hex()
    folders = {Path(inspect.getfile(kind)).parent for kind in type(task).__mro__[:-2]}  # but ABC and object
    folders.add(Path(frames.__file__).parent)
    sources = [path.read_bytes() for folder in sorted(folders) for path in sorted(folder.glob("*.py"))]
    inputs, outputs, _ = render_example(PROBE)
    rendered = [frame.pixels.tobytes() for frame in (*inputs, *outputs)]
    settings = repr((task.max_inputs, sorted(vars(task).items()))).encode()
    return hashlib.sha256(b"".join([*sources, *rendered, settings])).hexdigest()[:16]
