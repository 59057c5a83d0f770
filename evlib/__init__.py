"""Everything is a video: text, images, sound and moving pictures drawn as 64x64 frames, answered by predicting the next.

    from evlib import Text, load
    model = load("results/demo/runs/sst2")
    model.predict(Text("the plot is not dull"))
"""
import os
from importlib import import_module

# Threads that wait for work must sleep, not spin. OpenMP reads this when torch is first imported. On a machine shared
# with another busy program, spinning made a training step twenty times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {"load": "predict", **dict.fromkeys(("Text", "Image", "Audio", "Clip", "Example"), "parts")}


def __getattr__(name: str):
    """The few names most people want, imported when they are first asked for: torch takes seconds."""
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'evlib' has no attribute {name!r}")
