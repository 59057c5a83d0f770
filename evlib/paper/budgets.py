"""How long each row is trained: the one place. Runs on a CPU end by steps, so that the same seed gives the same weights
on the same kind of machine; the minutes are what those steps took on one core and are only printed.

A GPU run ends by minutes, because nobody has measured how many steps a minute is there.
"""

from __future__ import annotations

from typing import Any

# Steps of preset demo on the miniatures, and on real data: there as many as the published runs had.
STEPS = {
    "sst2": (1500, 5334),
    "cifar10": (1000, 14912),
    "tinyvirat": (910, 392),
    "audiomnist": (1100, 1204),
    "fsdd": (None, 1204),
    "tgifqa": (3000, 3000),
    "clevrer": (8000, 8000),
    "colorization": (550, 1915),
    "lasot": (2600, 1602),
}
MINIATURE_STEPS = {task: steps for task, (steps, _) in STEPS.items() if steps}
REAL_STEPS = {task: steps for task, (_, steps) in STEPS.items()}
GPU_MINUTES = {"paper": {}, "fast": {"fsdd": 5.0, "audiomnist": 15.0}}
OTHER_GPU_MINUTES = {"paper": 60.0, "fast": 25.0}  # of all rows that are not listed
# Rows that begin with another row's weights: a network that can read and write already (section 5.2).
INIT_FROM = {"clevrer": "tgifqa"}


def budget(task: str, preset: str, data: str) -> dict[str, Any]:
    """The settings that end a run of a task: steps or minutes, and whose weights it starts from.

    data: "miniature" or "real", as a store's manifest says."""
    if preset in GPU_MINUTES:
        return {"minutes": GPU_MINUTES[preset].get(task, OTHER_GPU_MINUTES[preset])}
    steps = (MINIATURE_STEPS if data == "miniature" else REAL_STEPS).get(task, 1000)
    start = {"init_from": INIT_FROM[task]} if task in INIT_FROM and data == "miniature" else {}
    return {"steps": steps, **start}
