"""The rooms of evlib and their law: a module imports from its own room and from rooms below it. So what learns knows
frames, and nothing of where they come from: the paper's thesis, in the import graph."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evlib

PACKAGE = Path(evlib.__file__).parent
ROOMS = [  # from the lowest up
    "utils",
    "config",
    "frames",
    "data",
    "synthetic",
    "model",
    "generation",
    "training",
    "viz",
    "scoring",
    "paper",
    "bench",
    "__main__",
]
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
# Room or module -> what it may not import, not even through others. A room's name stands for all its modules.
FRAMES_ONLY = ("frames", "data.tasks", "data.encode", "synthetic", "scoring", "viz", "paper")
STRANGERS = {
    "data.store": FRAMES_ONLY,
    "data.batches": FRAMES_ONLY,
    "model": FRAMES_ONLY,
    "generation": FRAMES_ONLY,
    "training": FRAMES_ONLY,
    "viz.attention": (*FRAMES_ONLY[:-2], "viz.plots", "viz.galleries", "paper"),
    "data.tasks": ("frames.render", "data.store", "matplotlib", "pytesseract", "sklearn", "viz", "scoring"),
}


def file_of(module: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imports_of(module: str) -> set[str]:
    """What a module's source imports: modules of evlib by their names, other packages by their first. In functions
    too, but not under `if TYPE_CHECKING`."""
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
            names = {f"{base}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.startswith("evlib.") and file_of(name)}
            found |= modules if len(modules) == len(names) else modules | {base}
        waiting += ast.iter_child_nodes(node)
    return {name if name.split(".")[0] == "evlib" else name.split(".")[0] for name in found}


def reach(module: str) -> set[str]:
    """All that it imports, and all that those import, packages above them included: Python runs their `__init__`."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        parents = {name.rpartition(".")[0]} - {"", "evlib"}
        for found in (imports_of(name) | parents if file_of(name) else set()) - seen - {module}:
            seen.add(found)
            waiting.append(found)
    return seen


def is_in(module: str, room: str) -> bool:
    return f"{module.removeprefix('evlib.')}.".startswith(f"{room}.")


def room_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "evlib"])
def test_a_module_imports_from_its_own_room_and_lower_ones(module):
    allowed = ROOMS[: ROOMS.index(room_of(module)) + 1]
    imported = {name for name in imports_of(module) if name.startswith("evlib.")}
    assert {name for name in imported if room_of(name) not in allowed} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if any(is_in(module, room) for room in STRANGERS)])
def test_what_a_module_may_not_know(module):
    forbidden = {name for room, names in STRANGERS.items() if is_in(module, room) for name in names}
    assert {name for name in reach(module) if any(is_in(name, room) for room in forbidden)} == set()


def test_data_sets_are_encoded_without_knowing_the_miniatures():
    reached = reach("evlib.data.encode") | reach("evlib.data.download")
    assert "evlib.frames.audio" in reached and not any(is_in(name, "synthetic") for name in reached)


def test_the_rooms_are_a_dozen_and_each_says_what_it_is():
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert top == {*ROOMS, "__init__"} and len(ROOMS) - 1 <= 12
    assert [module for module in MODULES if ast.get_docstring(ast.parse(file_of(module).read_text())) is None] == []


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_evlib_loads_nothing_until_it_is_used():
    heavy = "{'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    assert python(
        f"import sys, evlib; print({heavy}, [name for name in sys.modules if name.startswith('evlib.')])"
    ) == ("set() []\n")


def test_tasks_load_no_plots_and_no_ocr():
    heavy = "{'matplotlib', 'pytesseract', 'sklearn', 'evlib.frames.render', 'evlib.scoring', 'evlib.viz'}"
    assert python(f"import sys, evlib.data.tasks; print({heavy} & set(sys.modules))") == "set()\n"
