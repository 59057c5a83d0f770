"""What the site is made of: one page per notebook, module and folder, each where its file is in the repository, so that
links between files are links between pages. The README is the front page, the one in results/ heads the results."""

from __future__ import annotations

import ast
import fnmatch
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from evlib.data import tasks
from evlib.utils.errors import EvlibError

# The modules as a reader meets them along the one flow. A module that stands in no line here is listed under the last heading.
FLOW = {
    "What a task says": "parts answers tasks/__init__ tasks/base tasks/*",
    "Official files, and miniatures of them": "archives download miniatures/__init__ miniatures/*",
    "Everything becomes frames": "render image audio video boxes encode",
    "Only frames from here on": "store model loss train augment generate attention config",
    "Read off the frames, and scored": "decode metrics evaluate predict",
    "Around it": "*",
}
PROFILES = {
    "demo": "on the miniatures",
    "real": "on real data",
    "fast": "on real data, fast",
    "paper": "at the paper's size",
}
OPEN = (
    "demo",
    "recipe",
    "bench",
)  # what is shown whole of results/: it holds no excerpt of a data set that is not ours to pass on
# The target in [text](target#anchor). Blocks of code are matched first, and left alone.
LINK = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)$|(?<=\]\()(?P<target>[^()\s#]+)(?=[)#])", re.M | re.S)


# ---- notebooks -------------------------------------------------------------------------------------------------------


def notebooks(root: Path, profile: str) -> Iterator[tuple[Path, Path, Path]]:
    """(what to show, its source, its page) of every notebook, in reading order: the executed copies, and where there is none, the source."""
    executed = root / "results" / profile / "notebooks"
    for source in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        copies = sorted(
            copy for copy in executed.glob(f"{source.stem}*.ipynb") if not copy.name.endswith(".failed.ipynb")
        )
        for copy in copies or [source]:
            yield copy, source, (executed / copy.name).relative_to(root)


def notebook(path: Path, how: str, alone: bool = True) -> nbformat.NotebookNode:
    """A notebook for the site: set-up cells folded, the data set in the title where it ran for several, a word of how to run it where it was not."""
    book = _read(path)
    book.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}  # sources do not say it
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    for cell in code:
        tags = cell.metadata.setdefault("tags", [])
        if cell is code[0] or "injected-parameters" in tags:
            tags.append("hide-input")
            folded = "Imports" if cell is code[0] else "Parameters of this run"
            cell.metadata.mystnb = {"code_prompt_show": folded, "code_prompt_hide": folded}
    if not book.cells or book.cells[0].cell_type != "markdown":
        book.cells.insert(0, new_markdown_cell(f"# {path.stem}"))
    title = book.cells[0]
    if not alone:
        named = re.search(r"^task = ['\"](\w+)", "\n".join(cell.source for cell in code), re.M)
        told = tasks.TASKS[named[1]].dataset if named and named[1] in tasks.TASKS else path.stem
        title.source = re.sub(r"^(# .*)", rf"\1 ({told})", title.source, count=1)
    if not any(cell.execution_count for cell in code):
        title.source += f"\n\n:::{{note}}\nThis notebook has not been run yet, so nothing is shown under its cells. `{how}` runs it.\n:::\n"
    return book


def entry(page: Path, book: nbformat.NotebookNode) -> str:
    """A notebook's line in the table of contents: its title, or its file's name where the title does not begin with its number."""
    number, _, name = page.stem.partition("_")
    named = book.cells[0].source.startswith(f"# {int(number)} ·")
    return (
        str(page.with_suffix(""))
        if named
        else f"{int(number)} · {name.replace('_', ' ').capitalize()} <{page.with_suffix('')}>"
    )


# ---- code ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """One file of evlib: its path below the package, its source, and the paths of the modules it imports."""

    path: str
    source: str
    imports: frozenset[str]

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        text = " ".join((ast.get_docstring(ast.parse(self.source)) or "").split("\n\n")[0].split())
        return re.split(r"(?<=\.)\s+(?=[A-Z])", text, maxsplit=1)[0].rstrip(":")


def modules(package: Path) -> dict[str, Module]:
    """Every module of the package by its path, such as "tasks/sst2.py"."""
    found = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))
    }
    return {
        path: Module(path, source, frozenset(_imports(path, source, set(found)) - {path}))
        for path, source in found.items()
    }


def _imports(path: str, source: str, known: set[str]) -> set[str]:
    """The files of the package that a module's relative imports reach, wherever in it they stand."""
    seen, here = set(), ["", *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[1 : len(here) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            for parts in ([*base, alias.name] for alias in node.names):  # a name may be a module, or something in one
                files = (
                    "/".join(parts) + ".py",
                    "/".join([*parts, "__init__.py"]),
                    "/".join(base) + ".py",
                    "/".join([*base, "__init__.py"]),
                )
                seen |= {next((name for name in files if name in known), path)}
    return seen


def chapters(known: dict[str, Module]) -> dict[str, list[Module]]:
    """The modules under the headings of FLOW, each once."""
    left, found = dict(known), {}
    for heading, names in FLOW.items():
        found[heading] = []
        for pattern in names.split():
            found[heading] += [left.pop(path) for path in fnmatch.filter(sorted(left), f"{pattern}.py")]
    return found


def module(this: Module, known: dict[str, Module]) -> str:
    """A module's page: what it is, its neighbours, and its source, divided before each function and class so that each can be linked to."""
    users = sorted(path for path, other in known.items() if this.path in other.imports)
    up = "../" * this.path.count("/")
    around = []
    for verb, paths in (("imports", sorted(this.imports)), ("imported by", users)):
        if paths:
            around.append(f"{verb} {', '.join(f'[{_escaped(path)}]({up}{path})' for path in paths)}")
    lines, page = this.source.splitlines(), [f"# {_escaped(this.path)}", "; ".join(around) + "." if around else ""]
    body = ast.parse(this.source).body
    starts = {_first_line(node, lines): node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for start, end in zip([1, *starts], [*starts, len(lines) + 1]):
        if start in starts:
            page.append(f"## `{starts[start]}`")
        if text := "\n".join(lines[start - 1 : end - 1]).rstrip():
            page.append(f"`````````{{code-block}} python\n:lineno-start: {start}\n\n{text}\n`````````")
    return "\n\n".join(page) + "\n"


def _first_line(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> int:
    """Where a definition begins: at its decorators, or at the comment above them."""
    line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    while line > 1 and lines[line - 2].startswith("#"):
        line -= 1
    return line


def code(known: dict[str, Module]) -> str:
    """The page that lists the modules along the flow."""
    page = [
        "# The code",
        "Every file of `evlib`, along the one flow: from official files to frames, from frames to frames, and back to an answer. "
        "What stands under *Only frames from here on* imports nothing that knows of data sets, words or sounds; a test holds it to that.",
    ]
    tree = []
    for heading, found in chapters(known).items():
        page += [f"## {heading}", "| file | | lines |\n|---|---|---:|"]
        page[-1] += "".join(
            f"\n| [{_escaped(one.path)}]({one.path}) | {_escaped(one.summary)} | {one.source.count(chr(10))} |"
            for one in found
        )
        tree += [one.path.removesuffix(".py") for one in found]
    return "\n\n".join([*page, toctree(tree)]) + "\n"


# ---- folders ---------------------------------------------------------------------------------------------------------


def listed(root: Path, folder: Path) -> list[Path]:
    """The files of a folder that a page may show. Of results that are not OPEN, only scores and settings."""

    def shown(path: Path) -> bool:
        names = path.relative_to(root).parts
        if any(name.startswith(".") for name in names) or path.suffix not in (".csv", ".json", ".md", ".png", ".ipynb"):
            return False
        return (
            names[0] != "results"
            or names[1] in OPEN
            or path.suffix in (".json", ".md")
            or path.stem in ("table2", "log")
        )

    return sorted(path for path in folder.rglob("*") if path.is_file() and shown(path))


def folder(root: Path, path: Path) -> str:
    """A folder's page: the files of each folder below it as links, and the picture of what a run drew."""
    page, found = [f"# {path.relative_to(root).as_posix()}/"], listed(root, path)
    if not found:
        page.append("Nothing here yet.")
    for parent in sorted({file.parent for file in found}):
        files = [file for file in found if file.parent == parent]
        if parent != path:
            page.append(f"## {parent.relative_to(path).as_posix()}")
        page.append(" · ".join(f"[{file.name}]({file.relative_to(path).as_posix()})" for file in files))
        page += [
            f"![What {parent.name} drew]({file.relative_to(path).as_posix()})"
            for file in files
            if file.name == "samples.png"
        ]
    return "\n\n".join(page) + "\n"


# ---- all together ----------------------------------------------------------------------------------------------------


def toctree(pages: list[str], caption: str = "") -> str:
    """Sphinx's list of the pages below this one, shown at the side only."""
    return "\n".join(
        ["```{toctree}", ":hidden:", ":titlesonly:", *([f":caption: {caption}"] if caption else []), "", *pages, "```"]
    )


def write(root: Path, out: Path, profile: str = "demo") -> list[str]:
    """Writes the sources of all pages of the project at `root` into the folder `out`, and copies the files that they link to.
    Returns a sentence for each notebook that is not shown as it would run today."""
    how = "./reproduce.sh" if profile == "demo" else f"./reproduce.sh {profile} --data DIR"
    pages: dict[Path, str] = {}
    shown, entries, notes = list(notebooks(root, profile)), [], []
    for path, source, page in shown:
        if path == source:
            notes.append(
                f"{source.relative_to(root)} has not been run: its page shows it without outputs; {how} runs it"
            )
        elif _cells(path) != _cells(source):
            notes.append(
                f"{source.relative_to(root)} was changed since it was run: its page shows it as it was; {how} runs it again"
            )
        book = notebook(path, how, alone=sum(other == source for _, other, _ in shown) == 1)
        pages[page] = nbformat.writes(book)
        entries.append(entry(page, book))
    known = modules(root / "evlib")
    pages |= {Path("evlib", f"{one.path.removesuffix('.py')}.md"): module(one, known) for one in known.values()}
    pages[Path("evlib/index.md")] = code(known)
    tables = [path.relative_to(root) for path in sorted((root / "results").glob("*/table2.md"))]
    for table in tables:
        kind = PROFILES.get(table.parent.name, table.parent.name)
        pages[table] = (root / table).read_text(encoding="utf-8").replace("# Table 2", f"# Table 2, {kind}", 1)
    measured = Path("results/README.md")
    if (root / measured).is_file():
        pages[measured] = (root / measured).read_text(encoding="utf-8")
    pages[Path("index.md")] = (
        (root / "README.md").read_text(encoding="utf-8")
        + "\n\n"
        + "\n\n".join(
            [
                toctree(entries, "Notebooks"),
                toctree(
                    [
                        *(str(page.with_suffix("")) for page in (measured, *tables) if page in pages),
                        "All files <results/index>",
                    ],
                    "Results",
                ),
                toctree(["evlib/index"], "Code"),
            ]
        )
    )
    waiting = [*pages, Path("results/index.md")]
    while waiting:
        page = waiting.pop()
        if page not in pages:
            pages[page] = folder(root, root / page.parent)
        if page.suffix == ".md":
            pages[page] = LINK.sub(
                lambda found: found[0] if found["fence"] else _target(root, out, page, found["target"], waiting),
                pages[page],
            )
    for page, text in pages.items():
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(text, encoding="utf-8")
    return list(dict.fromkeys(notes))


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except ValueError as error:
        raise EvlibError(
            f"{path} is not a notebook ({str(error).splitlines()[0][:80]}): run it again, or take it away."
        ) from None


def _cells(path: Path) -> list[str]:
    """What a notebook says and runs, without what papermill put in."""
    return [cell.source for cell in _read(path).cells if "injected-parameters" not in cell.metadata.get("tags", [])]


def _target(root: Path, out: Path, page: Path, link: str, waiting: list[Path]) -> str:
    """Where a link of a page leads on the site: a module or a folder to its page, a file to a copy of it."""
    if re.match(r"[a-z]+:", link):
        return link
    target = root / page.parent / link
    if target.resolve() == root / "README.md":
        return link.replace("README.md", "index.md")
    if target.suffix == ".py":
        return str(Path(link).with_suffix(".md"))
    if target.is_dir():
        waiting.append(target.resolve().relative_to(root) / "index.md")
        return f"{link.rstrip('/')}/index.md"
    if target.is_file() and not (out / page.parent / link).exists():
        (out / page.parent / link).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, out / page.parent / link)
    return (
        f"path:{link}" if target.parent == root / "notebooks" else link
    )  # a source notebook is no page, but a download


def _escaped(text: str) -> str:
    """Plain text for Markdown; what stands between backquotes stays code."""
    return re.sub(r"`[^`]*`|[_*|\[\]<>]", lambda found: found[0] if found[0][0] == "`" else f"\\{found[0]}", text)
