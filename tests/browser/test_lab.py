"""Every notebook as a reader meets it: opened in JupyterLab, run from top to bottom, looked at; and the controls of
the first one used.

Left out of the usual run: `./reproduce.sh test --browser` installs a browser and runs these.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlib.paper.runner import NOTEBOOKS

pytestmark = pytest.mark.browser

LONGEST = 600_000  # ms, for one notebook
NOTEBOOK = "window.jupyterapp.shell.currentWidget"


@pytest.fixture
def opened(browser, lab, screenshots):
    """opened("00_start_here") -> the page of that notebook, all of its cells run, and its cells. Takes a screenshot."""
    pages = []

    def open_and_run(name: str):
        page = browser.new_page(viewport={"width": 1400, "height": 2400})
        page.set_default_timeout(60_000)
        pages.append((name, page))
        page.goto(lab(f"{name}.ipynb"))
        page.wait_for_function(f"window.jupyterapp && {NOTEBOOK}?.sessionContext?.session?.kernel?.status === 'idle'")
        page.set_default_timeout(LONGEST)
        # What the menu does; comes back when all is run.
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(f"{NOTEBOOK}.sessionContext.session.kernel.status === 'idle'")
        page.set_default_timeout(60_000)
        cells = f"[...{NOTEBOOK}.content.model.cells].filter(cell => cell.type === 'code').map(cell => cell.toJSON())"
        return page, page.evaluate(cells)

    yield open_and_run
    for name, page in pages:
        page.screenshot(path=screenshots / f"{name}.png")
        page.evaluate(f"{NOTEBOOK}.sessionContext.shutdown()")
        page.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(opened, name):
    page, cells = opened(name)
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [(output["ename"], output["evalue"]) for output in outputs if output["output_type"] == "error"]
    assert all(cell["execution_count"] for cell in cells if cell["source"])
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    image = page.locator(".jp-OutputArea-output img").first
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 64


OUTPUT = ".jp-OutputArea-output"


def answered(cell) -> tuple[str, str]:
    """The answer under a control, and the source of its picture."""
    return cell.locator(f"{OUTPUT} b").inner_text(), cell.locator(f"{OUTPUT} img").get_attribute("src")


def changed(page, cell, old: str) -> None:
    """Waits until another picture is there."""
    image = f"const image = cell.querySelector('{OUTPUT} img')"
    condition = f"([cell, old]) => {{ {image}; return image && image.src !== old; }}"
    page.wait_for_function(condition, arg=[cell.element_handle(), old])


def test_what_is_typed_and_chosen_is_answered(opened, reviewer, tmp_path):
    """Other words: other frames and another answer, in the place of the old ones. A film of one's own, too. What cannot
    be answered gets one sentence and no traceback. Fields that a network ignores are hidden."""
    page, _ = opened("00_start_here")
    cell = page.locator(".jp-CodeCell").filter(has_text="playground.ask_text")
    field = cell.locator(".widget-text input")
    cell.locator("select").select_option(reviewer)
    answers, (_, picture) = {}, answered(cell)
    for sentence in ("this movie was very clever .", "this movie was very dull ."):
        field.fill(sentence)
        field.press("Enter")
        changed(page, cell, picture)
        answers[sentence], picture = answered(cell)  # strict: there is still one of each
    assert list(answers.values()) == ["positive", "negative"]
    field.fill("")
    field.press("Enter")
    cell.get_by_text("The sentence is empty").wait_for()
    assert not cell.locator(f"{OUTPUT} img").count()
    assert not cell.locator("pre").filter(has_text="Traceback").count()
    field.fill(sentence)
    field.press("Enter")
    changed(page, cell, "")
    assert answered(cell) == (answers[sentence], picture)

    cell = page.locator(".jp-CodeCell").filter(has_text="playground.ask_clip")
    _, picture = answered(cell)
    choose(page, cell, own_film(tmp_path / "own.gif"))
    changed(page, cell, picture)
    (tmp_path / "notes.gif").write_text("this is no film")
    choose(page, cell, tmp_path / "notes.gif")
    cell.get_by_text("notes.gif: expected").wait_for()
    needed = {"tinyvirat": set(), "tgifqa": {"question"}, "colorization": set(), "lasot": {"box x,y,w,h"}}
    for network in set(needed) & set(cell.locator("option").all_inner_texts()):
        cell.locator("select").select_option(network)
        for name in ("question", "box x,y,w,h"):
            state = "visible" if name in needed[network] else "hidden"
            cell.locator(".widget-label").get_by_text(name, exact=True).wait_for(state=state)


def choose(page, cell, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        cell.get_by_role("button", name="choose a film").click()
    chooser.value.set_files(path)


def own_film(path: Path) -> Path:
    frames = [Image.fromarray(np.full((48, 64, 3), 20 * t, dtype=np.uint8)) for t in range(12)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path
