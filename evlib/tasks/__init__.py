"""The registry: one file per data set. A new task is one file and one line here; or, from anywhere else, `@tasks.register`."""
from pathlib import Path

from ..config import nearest
from ..errors import EvlibError
from .audiomnist import AudioMNIST
from .base import Item, Task
from .cifar10 import CIFAR10
from .clevrer import CLEVRER
from .fsdd import FSDD
from .lasot import LaSOT
from .sst2 import SST2
from .tgifqa import TGIFQA
from .tinyvirat import Colorization, TinyVIRAT

__all__ = ["TASKS", "Item", "Task", "found", "get", "register"]

TASKS: dict[str, Task] = {task.name: task for task in (SST2(), CIFAR10(), TinyVIRAT(), AudioMNIST(), FSDD(), CLEVRER(), TGIFQA(), LaSOT(), Colorization())}


def register(task: type[Task]) -> type[Task]:
    """A decorator for a task that is defined elsewhere: from then on, this process knows it by its name. Defined again, as in a notebook
    that is run twice, it takes its own place; EvlibError if the name is another task's."""
    there = type(TASKS[task.name]) if task.name in TASKS else task
    if (there.__module__, there.__qualname__) != (task.__module__, task.__qualname__):
        raise EvlibError(f"{task.__qualname__}: the name {task.name!r} is that of {there.__module__}.{there.__qualname__}; choose another.")
    TASKS[task.name] = task()
    return task


def get(name: str) -> Task:
    if name not in TASKS:
        raise EvlibError(f"Unknown task {name!r}{nearest(name, list(TASKS))}")
    return TASKS[name]


def found(data: Path) -> list[Task]:
    """The tasks whose data lies under `data`."""
    return [task for task in TASKS.values() if any((data / folder).is_dir() for folder in (*task.folders, *task.alike))]
