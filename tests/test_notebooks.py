"""Every notebook runs headlessly with tiny parameters, and is stored and executed as readers expect."""

import json

import nbformat
import pandas as pd
import pytest

from evlib.paper.runner import MINUTES, NOTEBOOKS, reproduce, run_notebook
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

SOURCES = sorted((project() / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The whole main job, with two seconds of training a row."""
    return reproduce("demo", minutes=2 / 60, results=tmp_path_factory.mktemp("results") / "demo", log=lambda line: None)


def test_every_notebook_has_its_place_in_the_run():
    assert sorted(NOTEBOOKS) == [path.stem for path in SOURCES]
    assert set(MINUTES["demo"]) <= {task for candidates in NOTEBOOKS.values() for task in candidates}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_sources_are_stored_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags == ["parameters"]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert cell.source.count("\n") < 15, cell.source
            own_module = cell.source.startswith("%%writefile")
            assert own_module or "\nclass " not in cell.source, "definitions live in evlib"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_executed_copies_are_whole_and_small(results, name):
    for path in (results / "notebooks").glob(f"{name}*.ipynb"):
        check_executed(path)


def check_executed(path):
    assert path.stat().st_size < 500_000
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for cell in code for o in cell.outputs)
    assert str(project()) not in path.read_text()


def test_the_run_ends_in_a_table(results):
    table = pd.read_csv(results / "table2.csv")
    assert ",".join(table.columns) == (
        "task,dataset,model,psnr,ssim,f1,f1_macro,accuracy,accuracy_template,iou,cdc,colorfulness,n,"
        "train_seconds,device,data"
    )
    assert (
        table.model.str.startswith("evlib demo").sum() == 8 + 1 + 5 + 4
    )  # short reviews apart, and CLEVRER and TGIF-QA by kind of question
    assert (results / "figures" / "answers.png").exists()
    assert "## The paper's claims" in (results / "table2.md").read_text()
    for task, least in {
        "sst2": 600,
        "cifar10": 640,
        "tinyvirat": 240,
        "audiomnist": 720,
        "clevrer": 1000,
        "tgifqa": 800,
        "colorization": 240,
        "lasot": 100,
    }.items():
        metrics = json.loads((results / "runs" / task / "metrics.json").read_text())
        assert metrics["data"] == "miniature" and metrics["n"] == least and metrics["baselines"]
        assert (results / "runs" / task / "samples.png").exists()


def test_a_second_run_does_nothing(results):
    said = []
    reproduce("demo", minutes=2 / 60, results=results, log=said.append)
    assert [line for line in said if "done before" not in line and "table2" not in line] == []


def test_an_unknown_parameter_is_refused(tmp_path):
    with pytest.raises(EvlibError, match="no parameter 'minuets'"):
        run_notebook("01_text_to_text_sst2", tmp_path, {"minuets": 1})


def test_a_failing_cell_says_what_and_where(tmp_path):
    with pytest.raises(
        EvlibError, match="01_text_to_text_sst2.ipynb, cell .*: EvlibError: Unknown task 'sst3': did you mean 'sst2'"
    ):
        run_notebook("01_text_to_text_sst2", tmp_path, {"task": "sst3"})
    assert (tmp_path / "notebooks" / "01_text_to_text_sst2.failed.ipynb").exists()
    assert not (tmp_path / "notebooks" / "01_text_to_text_sst2.ipynb").exists()
