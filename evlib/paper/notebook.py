"""What the first cell of a notebook needs: its data folder, and a line about the machine."""

from importlib.metadata import version
from pathlib import Path

from evlib import synthetic
from evlib.training.device import environment, find_device
from evlib.utils.paths import here, project

__all__ = ["here", "ready", "versions"]


def ready(data: str | Path) -> Path:
    """The data folder, filled with miniatures if it is .miniatures."""
    folder = here(data)
    if folder == project() / ".miniatures":
        synthetic.write(folder, log=lambda line: None)
    return folder


def versions() -> str:
    """One line about the machine, for the first cell of a notebook."""
    device = environment(find_device(None))
    return f"evlib {version('evlib')}, torch {device['torch']}, Python {device['python']}, {device['device']}"
