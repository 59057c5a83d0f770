"""Where notebooks and the command line find things, wherever they were started, and what they run on."""
from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from . import miniatures
from .device import environment, find_device


def project() -> Path:
    """The folder with notebooks/ and results/: that of the source tree, else the current one."""
    tree = Path(__file__).resolve().parents[1]
    return tree if (tree / "notebooks").is_dir() else Path.cwd()


def here(path: str | Path) -> Path:
    """A path as the notebooks name it: relative to the project, wherever the kernel was started."""
    return Path(path) if Path(path).is_absolute() else project() / path


def ready(data: str | Path) -> Path:
    """The data folder, filled with miniatures if it is the one kept for them."""
    folder = here(data)
    if folder == project() / ".miniatures":
        miniatures.write(folder, log=lambda line: None)
    return folder


def versions() -> str:
    """One line about the machine, for the first cell of a notebook."""
    device = environment(find_device(None))
    return f"evlib {version('evlib')}, torch {device['torch']}, Python {device['python']}, {device['device']}"
