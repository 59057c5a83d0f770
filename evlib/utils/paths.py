"""Where notebooks and the command line find things, wherever they were started."""

from pathlib import Path


def project() -> Path:
    """The folder with notebooks/ and results/: that of the source tree, else the current one."""
    tree = Path(__file__).resolve().parents[2]
    return tree if (tree / "notebooks").is_dir() else Path.cwd()


def here(path: str | Path) -> Path:
    """A path as the notebooks name it: relative to the project, wherever the kernel was started."""
    return Path(path) if Path(path).is_absolute() else project() / path
