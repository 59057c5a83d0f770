"""The paper's thesis in the import graph: what learns and what draws know frames, and nothing of where they come from."""

import ast
from pathlib import Path

import pytest

import evlib

PACKAGE = Path(evlib.__file__).parent
SOURCES = {
    "evlib.data.tasks",
    "evlib.frames.audio",
    "evlib.frames.video",
    "evlib.frames.render",
    "evlib.frames.boxes",
    "evlib.scoring.answers",
    "evlib.synthetic",
}  # they know of data sets and modalities


def file_of(module: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imports_of(module: str) -> set[str]:
    """The modules of evlib that a module's source imports, anywhere but under `if TYPE_CHECKING`."""
    path, found = file_of(module), set()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    waiting = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}  # a name may be a module or not
        waiting += ast.iter_child_nodes(node)
    return {name for name in found if name.startswith("evlib.") and file_of(name)}


def reach(module: str) -> set[str]:
    """All that it imports, and all that those import."""
    seen, waiting = set(), [module]
    while waiting:
        for name in imports_of(waiting.pop()) - seen:
            seen.add(name)
            waiting.append(name)
    return seen


@pytest.mark.parametrize("module", ["model", "loss", "store", "train", "generate", "attention"])
def test_what_learns_knows_only_frames(module):
    strangers = {
        name for name in reach(f"evlib.{module}") if any(name == s or name.startswith(s + ".") for s in SOURCES)
    }
    assert strangers == set()


def test_the_graph_is_read_right():
    assert imports_of("evlib.training.loss") == set()
    assert imports_of("evlib.model") == {"evlib.config"}
    assert {"evlib.model", "evlib.training.loss", "evlib.data.store", "evlib.config", "evlib.utils.errors"} <= reach(
        "evlib.training.train"
    )
    assert {"evlib.data.store", "evlib.frames.render", "evlib.frames.audio"} <= reach(
        "evlib.data.encode"
    )  # through render
    assert "evlib.data.tasks" not in imports_of("evlib.data.encode")  # for type checkers only
    assert "evlib.data.tasks" in imports_of("evlib.__main__")  # inside functions
