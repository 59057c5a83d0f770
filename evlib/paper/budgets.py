"""How long each row is trained (set only here). Runs on a CPU end after a number of steps, so that the same seed gives
the same weights on the same kind of machine; the minutes are what those steps took on one core and are only printed.

A GPU run ends after a number of minutes, because nobody has measured how many steps a GPU does per minute.
"""

from typing import Any

from evlib.config import CURRICULA

# Preset demo on the miniatures: steps, and what else a row needs.
MINIATURE: dict[str, dict[str, Any]] = {
    "sst2": {"steps": 1500},
    "cifar10": {"steps": 1000},
    "tinyvirat": {"steps": 910},
    "audiomnist": {"steps": 1100},
    "tgifqa": {"steps": 1500},
    # Starts from a network that already sees shapes and surfaces in photographs, and asks about these first: mixed with
    # all other questions, they are not learned.
    "clevrer": {
        "steps": 8000,
        "init_from": "results/real/runs/cifar10",
        "questions_first": "What (is the )?(shape|material)",
    },
    "colorization": {"steps": 550},
    "lasot": {"steps": 600},
}
# Preset demo on real data: steps, and the settings in which a row differs from its miniature.
REAL: dict[str, dict[str, Any]] = {
    "sst2": {"steps": 15000, "batch": 32, "short_first": True, "validations": 15, "validation_size": 1000},
    "cifar10": {"steps": 30000, "batch": 32, "stem": 32, "augment": "flip", "validations": 15},
    "tinyvirat": {"steps": 392},
    "audiomnist": {"steps": 1204},
    "fsdd": {"steps": 3000, "stem": 32, "validations": 10},
    "tgifqa": {"steps": 3000},
    "clevrer": {"steps": 8000},
    "colorization": {"steps": 150, "batch": 8, "patch": 8, "copy": True, "validations": 10},
    # Starts from a network that was trained on clips made from these few ones; see results/README.md. Both have other
    # settings than the miniature's network, which was improved after them.
    "lasot": {
        "steps": 100,
        "init_from": "results/real/runs/lasot-augmented",
        "patch": 4,
        "stem": 0,
        "batch": 4,
        "fade_context": False,
        "lr": 1e-4,  # so few clips: with ten times the rates, validation sequences lose half of what was gained
        "muon_lr": 0.0003,
        "power_decay": 0.0,
        "validations": 10,
    },
}
# One network for all miniatures, in two runs. The first started from the separate network of CLEVRER, the task that
# takes longest to learn; its settings are in its config.json. This one goes on with what the first had not learned:
# reviews, and videos as answers. `task_weights` follow the order of MINIATURE.
JOINT: dict[str, Any] = {
    "steps": 6600,
    "batch": 8,
    "init_from": "results/joint/runs/first",
    "task_weights": "22,3,6,5,8,24,18,20",
    "global_blocks": 4,
    "stem": 32,
    "copy": True,
    "shortest_lag": 10,  # colorization's answers have 10 frames
    "mean_bias": False,  # the mean of words and photographs is neither
    "fade_context": True,
    "grad_clip": 0.3,  # within the range of the tasks' norms: none counts ten times as much as another
    "l1": 1.0,
    "loss_power": 0.5,
    "power_decay": 0.5,
    "validations": 11,
    "validation_size": 512,
}
GPU_MINUTES = {"paper": {}, "fast": {"fsdd": 5.0, "audiomnist": 15.0}}
OTHER_GPU_MINUTES = {"paper": 60.0, "fast": 25.0}  # for all rows that are not listed


def budget(task: str, preset: str, data: str, minutes: float = 0.0) -> dict[str, Any]:
    """The settings of a task's run beyond its preset: its length in steps or minutes, the run whose weights it starts
    from, and what else it needs on this data.

    data: "miniature" or "real", as in a store's manifest; minutes: of training, instead of its steps."""
    if preset in GPU_MINUTES:
        settings = {"minutes": GPU_MINUTES[preset].get(task, OTHER_GPU_MINUTES[preset])}
    elif data == "real":
        settings = REAL.get(task, {"steps": 1000})
    else:
        settings = MINIATURE.get(task, {"steps": 1000})
    if minutes:
        settings = {name: value for name, value in settings.items() if name not in ("steps", *CURRICULA)}
        settings["minutes"] = minutes
    return dict(settings)
