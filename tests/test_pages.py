"""What the README says is what the results say, and one list of versions serves everybody."""

import re

import pandas as pd
import pytest

from evlib.config import preset
from evlib.paper import cost, pages, table2
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

PAGES = [project() / "README.md", project() / "results" / "README.md"]


def test_the_readme_shows_what_the_results_say():
    text = "".join(page.read_text() for page in PAGES)
    blocks = pages.blocks(project() / "results")
    stale = [name for name, content in blocks.items() if f"<!-- {name} -->\n{content}\n<!-- /{name} -->" not in text]
    assert len(blocks) >= 10 and stale == [], "`python -m evlib pages` brings them up to date"


@pytest.mark.parametrize("page", PAGES, ids=["README", "results/README"])
def test_pictures_and_files_of_the_readme_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", page.read_text()):
        target = target[0] or target[1]
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_a_block_without_a_place_is_an_error(tmp_path):
    files = [tmp_path / "a.md", tmp_path / "b.md"]
    (
        files[0].write_text("<!-- one -->\n<!-- /one -->"),
        files[1].write_text("before\n<!-- two -->\nold\n<!-- /two -->\nafter"),
    )
    pages.fill(files, {"one": "1", "two": "2"})
    assert [page.read_text() for page in files] == [
        "<!-- one -->\n1\n<!-- /one -->",
        "before\n<!-- two -->\n2\n<!-- /two -->\nafter",
    ]
    with pytest.raises(EvlibError, match="expected the markers <!-- three -->"):
        pages.fill(files, {"three": "3"})


def test_the_paper_is_quoted_whole():
    quoted = table2.the_paper()
    assert (quoted.model == "Ours").sum() == 8
    assert quoted.set_index(["dataset", "model"]).accuracy["SST-2", "Ours"] == 75.5


def test_markdown_leaves_out_empty_columns():
    text = table2.markdown(pd.DataFrame({"task": ["a"], "iou": [None], "psnr": [41.84], "n": [1200]}))
    assert text.splitlines()[0] == "| Task | PSNR | n |" and text.splitlines()[-1] == "| a | 41.8 | 1,200 |"


def test_one_list_of_versions():
    """environment.yml pins everything that pyproject.toml asks for, at a version that satisfies it."""
    pins = dict(re.findall(r"^      - ([\w-]+)==([\w.]+)", (project() / "environment.yml").read_text(), re.M))
    asked = re.findall(r"^    \"([\w-]+)>=([\d.]+)", (project() / "pyproject.toml").read_text(), re.M)
    assert len(asked) >= 15
    for name, least in asked:
        assert tuple(map(int, re.findall(r"\d+", pins[name]))) >= tuple(map(int, least.split("."))), name


def test_the_notebooks_say_how_large_the_networks_are():

    assert round(cost.parameters(preset("demo").model) / 1e6, 2) == 0.61
