"""Everything is a video: text, images, sound and video become 64x64 frames; answers are predicted as the next frames.

from evlib import Text, load
model = load("results/demo/runs/sst2")
model.predict(Text("the plot is not dull"))
"""

import os
from importlib import import_module

# Threads that wait for work must sleep, not spin. OpenMP reads this when torch is first imported. On a machine shared
# with another busy program, spinning made a training step twenty times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The names that a notebook needs and their modules; imported on first access, because torch takes seconds.
_HOME = {
    **dict.fromkeys(("Text", "Word", "Image", "Audio", "Clip", "End", "Example"), "frames.parts"),
    "render": "frames.render",
    "tasks": "data.tasks",  # the module itself
    "encode": "data.encode",
    "train": "training.train",
    "generate": "generation",
    "evaluate": "scoring.evaluate",
    "load": "scoring.predict",
}


def __getattr__(name: str):
    if name in _HOME:
        module = import_module(f".{_HOME[name]}", __name__)
        return module if name == "tasks" else getattr(module, name)
    raise AttributeError(f"module 'evlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
