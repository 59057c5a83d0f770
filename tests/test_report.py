"""What the README says is what the results say, and one list of versions serves everybody."""
import re
import subprocess

import pandas as pd
import pytest

from evlib import report
from evlib.config import preset
from evlib.paths import project

README = project() / "README.md"


def test_the_readme_shows_what_the_results_say():
    changed = subprocess.run(["git", "status", "--porcelain", "results", "README.md"], cwd=project(), capture_output=True, text=True)
    if changed.returncode or changed.stdout.strip():
        pytest.skip("results/ differ from what is committed: `python -m evlib table results/demo --readme README.md` brings the README up to date")
    text = README.read_text()
    for name, content in report.blocks(project() / "results").items():
        assert f"<!-- {name} -->\n{content}\n<!-- /{name} -->" in text, f"README block {name} is stale"


def test_pictures_and_files_of_the_readme_exist():
    text = README.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text):
        target = target[0] or target[1]
        if not target.startswith("http"):
            assert (project() / target).exists(), target


def test_the_paper_is_quoted_whole():
    quoted = pd.read_csv(project() / "evlib" / "paper_table2.csv")
    assert (quoted.model == "Ours").sum() == 8
    assert quoted.set_index(["dataset", "model"]).accuracy["SST-2", "Ours"] == 75.5


def test_markdown_leaves_out_empty_columns():
    text = report.markdown(pd.DataFrame({"task": ["a"], "iou": [None], "psnr": [41.84], "n": [1200]}))
    assert text.splitlines()[0] == "| Task | PSNR | n |" and text.splitlines()[-1] == "| a | 41.8 | 1,200 |"


def test_one_list_of_versions():
    """environment.yml pins everything that pyproject.toml asks for, at a version that satisfies it."""
    pins = dict(re.findall(r"^      - ([\w-]+)==([\w.]+)", (project() / "environment.yml").read_text(), re.M))
    asked = re.findall(r"^    \"([\w-]+)>=([\d.]+)", (project() / "pyproject.toml").read_text(), re.M)
    assert len(asked) >= 15
    for name, least in asked:
        assert tuple(map(int, re.findall(r"\d+", pins[name]))) >= tuple(map(int, least.split("."))), name


def test_the_notebooks_say_how_large_the_networks_are():
    from evlib.model import NextFrame
    assert round(NextFrame(preset("demo").model).parameters_in_millions, 2) == 0.61
