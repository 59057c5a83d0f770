"""The notebooks: stored clean, every cell runs twice and gives the same, and the main job ends in a table.

The main job runs on a few examples of every data set, in this process, where a notebook takes seconds; kernels of their
own run one notebook that succeeds and one that fails.
"""

import ast
import base64
import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from papermill.engines import Engine, NBClientEngine, papermill_engines
from traitlets.config import Config

from evlib import synthetic
from evlib.data import tasks
from evlib.paper import questions
from evlib.paper.budgets import MINIATURE
from evlib.paper.runner import NOTEBOOKS, reproduce, run_notebook, run_notebooks
from evlib.synthetic import audiomnist, cifar10, clevrer, lasot, sst2, tgifqa, tinyvirat, video_writer
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

NAMES = sorted(NOTEBOOKS)
COPIES = sorted([*NAMES, "04_video_and_text_to_text_clevrer_tgifqa_clevrer"])  # executed for two tasks
FROM_SCRATCH = "00b_from_scratch"  # the one notebook that does not import evlib
FOLDER = project() / "notebooks"
MINUTES = 0.01  # of training per row
QUICK = {"steps": 15, "examples": 2}  # parameters of 09 (a run that is stopped and resumed) and 11
TEST_EXAMPLES = {
    "sst2": 40, "cifar10": 20, "tinyvirat": 8, "audiomnist": 120, "clevrer": 30, "tgifqa": 24,
    "colorization": 8, "lasot": 10,
}  # fmt: skip
# Names that hold measured time, a line of progress, the name of a temporary file: which no two runs share.
VARYING = {"seconds", "started", "timings", "line", "temporary"}
NUMBERS = (bool, int, float, np.number)


# ---- the sources -----------------------------------------------------------------------------------------------------


def test_every_notebook_has_its_place_in_the_run():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    assert {task for candidates in NOTEBOOKS.values() for task in candidates} == set(tasks.TASKS)
    assert set(MINIATURE) == set(TEST_EXAMPLES)


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_stored_clean(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}  # above all, no widgets
    assert [cell.metadata for cell in notebook.cells if cell.metadata] == [{"tags": ["parameters"]}]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert cell.source.count("\n") < (20 if name == FROM_SCRATCH else 15), cell.source
            module = cell.source.startswith("%%writefile") or name == FROM_SCRATCH
            assert module or not re.search(r"^\s*(async def|def|class)\b", cell.source, re.M), (
                "definitions live in evlib"
            )


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_such_that_papermill_finds_them(name):
    """One per line, `name: type = literal  # help`: papermill drops other ones without a word."""
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if cell.metadata.get("tags") == ["parameters"]]
    lines = [re.fullmatch(r"(\w+): (str|int|float|bool) = ([^=|#]+?) +# [^=|]+", line) for line in source.splitlines()]
    assert lines and all(lines), source
    for line in lines:
        assert type(ast.literal_eval(line[3])).__name__ == line[2]
    assert list(papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))) == [line[1] for line in lines]
    assert {"data", "results"} <= {line[1] for line in lines}


# ---- the main job, each cell twice -----------------------------------------------------------------------------------


def one_by_one(work, jobs) -> None:
    for job in jobs:
        work(job)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A few examples of every data set, from the generators of the miniatures."""
    out = tmp_path_factory.mktemp("few") / "data"
    few = {
        sst2: {"TRAIN": 200, "DEV": 40, "TEST": 4},
        cifar10: {"PER_FILE": 20},
        tinyvirat: {"CLIPS": {"train": (20, 4), "test": (8, 2)}},
        audiomnist: {"REPETITIONS": 1, "FSDD_INDICES": 1},
        clevrer: {"SPLITS": {"train": (16, 0), "validation": (6, 10000)}, "in_parallel": one_by_one},
        tgifqa: {"TRAIN": 16, "TEST": 6, "in_parallel": one_by_one},
        lasot: {"PER_CLASS": 14, "in_parallel": one_by_one},
        video_writer: {"in_parallel": one_by_one},
    }
    with pytest.MonkeyPatch.context() as patch:
        for module, values in few.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        synthetic.write(out, log=lambda line: None)
    return out


class Shell(InteractiveShell):
    """What executes the cells of a kernel, without one."""

    def enable_gui(self, gui=None):
        """%matplotlib inline has no window."""


@pytest.fixture(scope="module")
def shell():
    backend = plt.get_backend()
    shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("matplotlib", "inline")
    yield shell
    Shell.clear_instance()
    plt.switch_backend(backend)


@pytest.fixture(scope="module")
def problems() -> dict[str, list[str]]:
    """Executed copy -> what went wrong when its cells ran twice."""
    return {}


@pytest.fixture(scope="module")
def results(data, shell, problems, tmp_path_factory) -> Path:
    """The whole main job with a second of training per row, every cell executed twice, in one shell in this process."""
    known, threads = dict(tasks.TASKS), torch.get_num_threads()

    class Twice(Engine):
        @classmethod
        def execute_managed_notebook(cls, manager, kernel_name, **_):
            about = manager.nb.metadata.papermill
            name, task = Path(about.input_path).stem, about.parameters.get("task")
            copy = f"{name}_{task}" if f"{name}_{task}" in COPIES else name
            problems[copy] = run_twice(shell, manager.nb)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))  # notebook 12 adds its own folder
        patch.setattr(questions, "frame_sizes", partial(questions.frame_sizes, words=8, sentences=2, tracks=6))
        papermill_engines.register(None, Twice)
        torch.set_num_threads(1)
        yield reproduce(
            "demo", data, MINUTES, tmp_path_factory.mktemp("results") / "demo", lanes=1, log=lambda line: None
        )
        papermill_engines.register(None, NBClientEngine)
    torch.set_num_threads(threads)
    tasks.TASKS.clear()
    tasks.TASKS.update(known)
    for name in ("accelerometer", "recording", "traces"):  # as notebook 12 calls its modules
        sys.modules.pop(name, None)


def run_twice(shell: InteractiveShell, notebook) -> list[str]:
    """Executes every code cell twice in a row; the first time's outputs are kept. Returns what a reader who runs a cell
    again would stumble over."""
    shell.reset(new_session=False)
    types, parameters, found, count = {}, {}, [], 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        states, count = [], count + 1
        for turn in ("first", "second"):
            with capture_output() as captured:
                result = shell.run_cell(cell.source)
            if error := result.error_before_exec or result.error_in_exec:
                return [*found, f"cell {cell.id} fails the {turn} time: {type(error).__name__}: {error}"]
            if turn == "first":
                cell.outputs, cell.execution_count = outputs_of(captured), count
            states.append(state_of(shell))
        once, again = states
        if cell.metadata.get("tags"):  # of the parameters, or of those that papermill injects
            parameters |= {name: again[name] for name in re.findall(r"^(\w+)(?:: \w+)? = ", cell.source, re.M)}
        changed = [name for name in again if once.get(name) != again[name] and name not in VARYING]
        retyped = [name for name in again if types.setdefault(name, again[name][0]) != again[name][0]]
        rebound = [name for name, value in parameters.items() if again[name] != value]
        for names, problem in ((changed, "differ the second time"), (retyped, "change type"), (rebound, "are rebound")):
            if names:
                found.append(f"cell {cell.id}: {', '.join(names)} {problem}")
        types |= {name: again[name][0] for name in retyped}  # said once
        if cell.metadata.get("tags"):
            quick = {name: value for name, value in QUICK.items() if name in parameters}
            shell.push(quick)
            parameters |= {name: state(value) for name, value in quick.items()}
    return found


def outputs_of(captured) -> list:
    """What a cell printed and showed, as a notebook stores it."""
    text = [nbformat.v4.new_output("stream", name="stdout", text=captured.stdout)] if captured.stdout else []
    plain = lambda value: base64.b64encode(value).decode() if isinstance(value, bytes) else value  # noqa: E731
    shown = [{kind: plain(value) for kind, value in output.data.items()} for output in captured.outputs]
    return text + [nbformat.v4.new_output("display_data", data=data) for data in shown]


def state_of(shell: InteractiveShell) -> dict[str, tuple]:
    """Name -> type and value of every variable of a notebook."""
    hidden = set(shell.user_ns_hidden)
    return {name: state(v) for name, v in shell.user_ns.items() if name not in hidden and not name.startswith("_")}


def state(value) -> tuple:
    """A type, and what can be compared of a value: of numbers, text, tables, arrays and collections of them."""
    kind = "number" if isinstance(value, NUMBERS) else type(value).__qualname__
    if isinstance(value, (str, bytes, Path, *NUMBERS)):
        return kind, repr(value)
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        return kind, array.shape, str(array.dtype), array.tobytes() if array.dtype != object else repr(array)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return kind, value.to_csv()
    if isinstance(value, dict):
        return kind, tuple((repr(key), state(item)) for key, item in value.items() if key not in VARYING)
    if isinstance(value, (list, tuple)):
        return kind, tuple(map(state, value))
    return (kind,)


@pytest.mark.parametrize("copy", COPIES)
def test_every_cell_runs_twice_and_gives_the_same(results, problems, copy):
    assert not problems[copy], "\n".join(problems[copy])


@pytest.mark.parametrize("copy", COPIES)
def test_executed_copies_are_whole_and_small(results, copy):
    check_executed(results / "notebooks" / f"{copy}.ipynb")


def check_executed(path: Path) -> None:
    assert path.stat().st_size < 500_000
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for cell in code for o in cell.outputs)
    assert str(project()) not in path.read_text()


def test_the_main_job_makes_these_copies_and_no_others(results):
    assert sorted(path.stem for path in (results / "notebooks").iterdir()) == COPIES


def test_the_run_ends_in_a_table(results):
    table = pd.read_csv(results / "table2.csv")
    assert ",".join(table.columns) == (
        "task,dataset,model,psnr,ssim,f1,f1_positive,f1_macro,accuracy,accuracy_template,iou,iou_with_first,cdc,"
        "colorfulness,n,train_seconds,device,data"
    )
    ours = table[table.model.str.startswith("evlib demo")]
    assert len(ours) == len(TEST_EXAMPLES) + 1 + 5 + 4  # short reviews, kinds of question of CLEVRER and of TGIF-QA
    assert set(ours.data) == {"miniature"}
    assert (results / "figures" / "answers.png").exists()
    assert (results / "figures" / "answers.gif").exists()  # whichever answers such networks give
    assert "## The paper's claims" in (results / "table2.md").read_text()
    for task, n in TEST_EXAMPLES.items():
        metrics = json.loads((results / "runs" / task / "metrics.json").read_text())
        assert metrics["data"] == "miniature" and metrics["n"] == n and metrics["baselines"]
        assert (results / "runs" / task / "samples.png").exists()
    settings = json.loads((results / "runs" / "clevrer" / "config.json").read_text())
    assert settings["init_from"] == "results/real/runs/cifar10"


def test_a_second_run_does_nothing(data, results):
    lines = []
    reproduce("demo", data, MINUTES, results, lanes=1, log=lines.append)
    assert len(lines) == len(COPIES) + 1
    assert [line for line in lines if "done before" not in line and "table2" not in line] == []


# ---- one notebook, in a kernel of its own ----------------------------------------------------------------------------


@pytest.fixture
def kernels(results):
    """Notebooks get the kernels that they have outside of tests."""
    in_this_process = papermill_engines.get_engine(None)
    papermill_engines.register(None, NBClientEngine)
    yield
    papermill_engines.register(None, in_this_process)


def test_a_kernel_executes_a_notebook(data, results, kernels, tmp_path):
    shutil.copytree(results / "runs" / "cifar10", tmp_path / "runs" / "cifar10")
    parameters = {"data": str(data), "results": str(tmp_path), "minutes": MINUTES}
    check_executed(run_notebook("02_image_to_text_cifar10", tmp_path, parameters, log=lambda line: None))


def test_two_notebooks_run_side_by_side_and_a_failure_is_told(tmp_path):
    lines, wrong = [], [({"minuets": 1}, "")]
    with pytest.raises(EvlibError, match=r"0[12]_.* failed: its lines above, 0[12] \|, say why"):
        jobs = [("01_text_to_text_sst2", str(tmp_path), wrong), ("02_image_to_text_cifar10", str(tmp_path), wrong)]
        run_notebooks(jobs, 2, lines.append)
    assert any(re.match(r"0[12] \| evlib: .*has no parameter 'minuets'", line) for line in lines)


def test_an_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(EvlibError, match="no parameter 'minuets'"):
        run_notebook("01_text_to_text_sst2", tmp_path, {"minuets": 1})


def test_a_failing_cell_says_what_and_where(kernels, tmp_path):
    with pytest.raises(
        EvlibError, match="01_text_to_text_sst2.ipynb, cell .*: EvlibError: Unknown task 'sst3': did you mean 'sst2'"
    ):
        run_notebook("01_text_to_text_sst2", tmp_path, {"task": "sst3"})
    assert (tmp_path / "notebooks" / "01_text_to_text_sst2.failed.ipynb").exists()
    assert not (tmp_path / "notebooks" / "01_text_to_text_sst2.ipynb").exists()
