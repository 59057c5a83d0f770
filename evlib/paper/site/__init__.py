"""The project as a site: README, executed notebooks, results and code. It opens from the disk, without a server."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

PAGES = {".md", ".ipynb", ".py"}
COPIED = PAGES | {".png", ".gif", ".csv", ".json", ".toml", ".yml", ".sh", ""}
# From other folders only SCORES: they contain excerpts of data sets that are not ours.
OURS = {"demo", "joint", "recipe", "bench"}
SCORES = {"config.json", "env.json", "metrics.json", "log.csv", "table2.csv", "table2.md"}


def build(out: Path | None = None, root: Path | None = None) -> Path:
    """Builds the site of the project at `root` in the folder `out` (default: .site); returns its front page.

    EvlibError with all of Sphinx's warnings, such as a broken link; the old site then stays."""
    root = root or project()
    out = out or root / ".site"
    if not (root / "README.md").is_file():
        raise EvlibError(f"{root} has no README.md: the site is made from a clone of the project.")
    with tempfile.TemporaryDirectory() as folder, files.atomic(out) as site:
        assemble(root, Path(folder, "pages"))
        sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", Path(__file__).parent]
        command = [*sphinx, "-d", Path(folder, "doctrees"), Path(folder, "pages"), site]
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if result.returncode:
            raise EvlibError(f"Cannot build the site: {result.stderr.strip().replace(f'{folder}/pages/', '')}")
        shutil.copy(site / "README.html", site / "index.html")
    return out / "index.html"


def assemble(root: Path, pages: Path) -> None:
    """Copies what the site shows to the folder `pages`, and adds to each folder a page that lists it."""
    for path in [*root.glob("*"), *root.glob("evlib/**/*"), *root.glob("results/**/*")]:
        if path.is_file() and _is_shown(path.relative_to(root)):
            (pages / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, pages / path.relative_to(root))
    executed = pages / "results/demo/notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    for notebook in root.glob("notebooks/*.ipynb"):
        if not any(executed.glob(f"{notebook.stem}*")):  # not run yet: without outputs
            shutil.copy(notebook, executed)
    for folder in [path for path in pages.rglob("*") if path.is_dir()]:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix not in PAGES)
        lines = [f"* {'!' if name.endswith(('.png', '.gif')) else ''}[{name}]({name})" for name in names]
        text = "\n\n".join([f"# {folder.relative_to(pages)}/", _toctree(_pages(folder)), *lines])
        (folder / "index.md").write_text(text, encoding="utf-8")
    with (pages / "README.md").open("a", encoding="utf-8") as readme:
        notebooks = [f"results/demo/notebooks/{name}" for name in _pages(executed)]
        readme.write(_toctree([*notebooks, "results/README", "results/index", "evlib/index"]))


def _is_shown(path: Path) -> bool:
    if path.suffix not in COPIED or any(part.startswith(".") for part in path.parts):
        return False
    return path.parts[0] != "results" or len(path.parts) == 2 or path.parts[1] in OURS or path.name in SCORES


def _pages(folder: Path) -> list[str]:
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix in PAGES]
    return [f"{path.name}/index" if path.is_dir() else path.stem for path in found if path.name != "index.md"]


def _toctree(pages: list[str]) -> str:
    return "\n".join(["\n\n```{toctree}", ":maxdepth: 1", *pages, "```"])
