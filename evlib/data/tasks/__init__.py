"""The tasks, by data set: official files -> examples. No plots, no OCR and no other task's runs are used here.

A new task is one file and one line here. A task that is defined anywhere else uses `@tasks.register`; the command line
knows it if the environment variable EVLIB_TASKS names its file."""

import importlib.util
import os
import sys
from pathlib import Path

from evlib.config import Config, nearest, preset
from evlib.data.tasks.audiomnist import FSDD, AudioMNIST
from evlib.data.tasks.base import Item, Task
from evlib.data.tasks.cifar10 import CIFAR10
from evlib.data.tasks.clevrer import CLEVRER
from evlib.data.tasks.lasot import LaSOT
from evlib.data.tasks.sst2 import SST2
from evlib.data.tasks.tgifqa import TGIFQA
from evlib.data.tasks.tinyvirat import Colorization, TinyVIRAT
from evlib.utils.errors import EvlibError

__all__ = ["TASKS", "Item", "Task", "config", "found", "get", "parse", "register"]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (SST2(), CIFAR10(), TinyVIRAT(), AudioMNIST(), FSDD(), CLEVRER(), TGIFQA(), LaSOT(), Colorization())
}


def register(task: type[Task]) -> type[Task]:
    """A decorator for a task that is defined elsewhere: makes it available by name in this process. If it is defined
    again, as in a notebook cell that is run twice, it replaces itself; EvlibError if another task has the same name."""
    known = type(TASKS[task.name]) if task.name in TASKS else task
    if (known.__module__, known.__qualname__) != (task.__module__, task.__qualname__):
        owner = f"{known.__module__}.{known.__qualname__}"
        raise EvlibError(f"{task.__qualname__}: the name {task.name!r} is that of {owner}; choose another.")
    TASKS[task.name] = task()
    return task


def register_files(paths: str) -> None:
    """Runs the Python files in `paths`, separated as in PATH: each registers a task, and may import files beside it.
    EvlibError if one is missing, fails, or registers nothing."""
    for path in (Path(path).resolve() for path in paths.split(os.pathsep) if path):
        if not path.is_file():
            raise EvlibError(f"EVLIB_TASKS: expected Python files that register tasks; {path} is not there.")
        sys.path.append(str(path.parent))
        spec = importlib.util.spec_from_file_location(f"evlib_tasks:{path}", path)  # no other module's name
        module, before = importlib.util.module_from_spec(spec), dict(TASKS)
        sys.modules[spec.name] = module  # where `inspect` looks for the file of a class
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever somebody else's code raises
            raise EvlibError(f"EVLIB_TASKS: {path} fails with {type(error).__name__}: {error}.") from error
        if before == TASKS:
            raise EvlibError(f"EVLIB_TASKS: {path} registers no task; put `@register` above its class.")


def get(name: str) -> Task:
    if name not in TASKS:
        raise EvlibError(f"Unknown task {name!r}{nearest(name, list(TASKS))}")
    return TASKS[name]


def parse(names: str, data: Path) -> list[Task]:
    """The tasks of "sst2", of "sst2+cifar10", or of "all": all whose data lies under `data`. EvlibError without any,
    and if one is named twice."""
    chosen = found(data) if names == "all" else [get(name) for name in names.split("+")]
    if not chosen:
        raise EvlibError(f"{data}: expected the data of at least one task, found none.")
    if len({task.name for task in chosen}) < len(chosen):
        raise EvlibError(f"Each task may be named once; found {names}.")
    return chosen


def config(chosen: list[Task], preset_name: str, **changes) -> Config:
    """The settings of a run on one task, or on several: then the preset without any task's own settings, and the batch
    of the task with the smallest. EvlibError for settings that have no meaning for several tasks."""
    if len(chosen) == 1:
        return chosen[0].config(preset_name, **changes)
    settings = preset(preset_name).override(task="+".join(task.name for task in chosen), **changes)
    if settings.train.augment != "none":
        raise EvlibError(f"augment is for one task; found {len(chosen)}: {settings.task}.")
    return settings if settings.train.batch else settings.override(batch=min(task.batch for task in chosen))


def found(data: Path) -> list[Task]:
    """The tasks whose data lies under `data`."""
    return [task for task in TASKS.values() if task.find(data)]
