"""The site: every notebook, module and linked file has a page or a copy, nothing leads nowhere, nothing needs the network."""

import base64
import html
import io
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from evlib.paper.runner import PROFILES
from evlib.paper.site import build, links, pages
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

EXECUTED = sorted((project() / "results/demo/notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, list[str]]:
    """The site of this project, and what was said while it was made."""
    if not EXECUTED:
        pytest.skip("no executed notebooks in results/demo/notebooks: ./reproduce.sh writes them")
    said = []
    return build(tmp_path_factory.mktemp("whole") / "site", log=said.append).parent, said


@pytest.fixture
def site(built) -> Path:
    return built[0]


@pytest.fixture
def root(tmp_path) -> Path:
    """A project with two notebooks, of which one was run, two modules and one result."""
    root = tmp_path / "project"
    moving = io.BytesIO()
    Image.new("L", (8, 8)).save(moving, "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 255)])
    gif = {"image/gif": base64.b64encode(moving.getvalue()).decode(), "text/plain": "a film"}
    table = {"text/markdown": "| word | times |\n|---|---|\n| frog | 7 |", "text/plain": "a table"}
    run = new_notebook(
        cells=[
            new_markdown_cell("# 1 · Films\n\nThe mean is $\\frac{a}{b}$. See [the other](02_words.ipynb)."),
            new_code_cell("import evlib", execution_count=1),
            new_code_cell("# Parameters\nseed = 3", execution_count=2, metadata={"tags": ["injected-parameters"]}),
            new_code_cell(
                "film", execution_count=3, outputs=[new_output("display_data", gif), new_output("display_data", table)]
            ),
        ]
    )
    source = new_notebook(
        cells=[cell for cell in run.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    )
    other = new_notebook(cells=[new_markdown_cell("# Words"), new_code_cell("!ls $HOME")])
    for path, book in {
        "results/demo/notebooks/01_films.ipynb": run,
        "notebooks/01_films.ipynb": source,
        "notebooks/02_words.ipynb": other,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, root / path)
    for path, text in {
        "README.md": "# Small\n\n[code](evlib/one.py), [run](results/demo/notebooks/01_films.ipynb), [all](notebooks), [score](results/demo/a.json), "
        "[below](#end)\n\n## End\n",
        "evlib/one.py": '"""First. Then more."""\nfrom . import two\n\n\n# about it\n@two.mark\ndef start():\n    return table[two](notebooks)\n',
        "evlib/two.py": '"""Second: a `mark`."""\n\n\ndef mark(f):\n    return f\n',
        "results/demo/a.json": "{}",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def source_shown(page: Path) -> str:
    """The code of a module's page, without line numbers."""
    blocks = re.findall(r"<pre>(.*?)</pre>", page.read_text(encoding="utf-8"), re.S)
    return "\n".join(
        html.unescape(re.sub(r"<[^>]+>", "", re.sub(r'<span class="linenos">[^<]*</span>', "", block))).rstrip()
        for block in blocks
    )


# ---- the project's own site ------------------------------------------------------------------------------------------


def test_the_links_that_lead_out_are_listed(built):
    site, said = built  # that all others lead somewhere, `build` has checked
    count = len(list(site.rglob("*.html")))
    assert (
        said[-1].startswith(f"-- {count} pages, every link and picture in them found; ")
        and "https://arxiv.org/abs/2411.10503" in said[-1]
    )
    assert count > len(EXECUTED) + 40


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
def test_every_picture_of_a_notebook_is_shown(site, path):
    page = (site / path.relative_to(project())).with_suffix(".html")
    outputs = [
        output.data
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    pictures = sum(1 for data in outputs if {"image/png", "image/gif"} & set(data) and "text/html" not in data)
    shown = re.findall(r'<img [^>]*src="([^"]*_images/[0-9a-f]{64}\.\w+)"', page.read_text(encoding="utf-8"))
    assert len(shown) == pictures
    assert all((page.parent / picture).stat().st_size > 0 for picture in shown)


def test_every_module_is_there_word_for_word(site):
    sources = sorted((project() / "evlib").rglob("*.py"))
    assert len(sources) > 40
    for path in sources:
        page = (site / path.relative_to(project())).with_suffix(".html")
        lines = [line.rstrip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert [line for line in source_shown(page).splitlines() if line.strip()] == lines, path


def test_links_of_the_readme_lead_to_pages(site):
    front = links.read(site / "index.html").links
    assert "evlib/model.html" in front
    assert "results/demo/table2.html" in front
    assert {f"results/demo/notebooks/{path.stem}.html" for path in EXECUTED} <= set(front)


def test_the_search_knows_words_of_notebooks_and_of_code(site):
    index = json.loads(
        (site / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(").removesuffix(")")
    )
    where = {
        index["docnames"][page] for kind in ("terms", "titleterms") for page in np.atleast_1d(index[kind]["separ"])
    }
    assert {"results/demo/notebooks/00_start_here", "evlib/render"} <= where
    assert index["docnames"].index("evlib/model") in {page for page, _ in index["alltitles"]["NextFrame"]}


# ---- a small one -----------------------------------------------------------------------------------------------------


def test_films_formulas_and_tables_show_without_the_network(root, tmp_path):
    said = []
    front = build(tmp_path / "site", root=root, log=said.append)
    page = (front.parent / "results/demo/notebooks/01_films.html").read_text(encoding="utf-8")
    film = re.search(r'src="([^"]+\.gif)"', page)[1]
    with Image.open(front.parent / "results/demo/notebooks" / film) as picture:
        assert picture.n_frames == 2
    assert "<mfrac>" in page and re.search(r"<td><p>frog</p></td>", page)
    assert [re.sub(r"<[^>]+>", "", p) for p in re.findall(r'<p class="collapsed[^>]*>(.*?)</p>', page)] == [
        "Imports",
        "Parameters of this run",
    ]
    assert (
        said[0]
        == "-- notebooks/02_words.ipynb has not been run: its page shows it without outputs; ./reproduce.sh runs it"
    )
    assert "./reproduce.sh runs it." in text(front.parent / "results/demo/notebooks/02_words.html")
    assert len(said) == 2 and said[1].startswith("-- 9 pages")


def test_code_is_linked_and_left_as_it_is(root, tmp_path):
    site = build(tmp_path / "site", root=root, log=lambda line: None).parent
    assert (
        source_shown(site / "evlib/one.html").replace("\n\n", "\n")
        == (root / "evlib/one.py").read_text().replace("\n\n\n", "\n").rstrip()
    )
    assert (
        "two.html" in links.read(site / "evlib/one.html").links
        and "one.html" in links.read(site / "evlib/two.html").links
    )
    assert {"start"} <= links.read(site / "evlib/one.html").anchors
    assert re.search(r"one\.py\s+First\.\s+8\s+two\.py\s+Second: a mark\.\s+5", text(site / "evlib/index.html"))


def test_a_changed_notebook_is_named(root, tmp_path):
    said = []
    path = root / "notebooks/01_films.ipynb"
    path.write_text(path.read_text().replace('"film"', '"other film"'))
    build(tmp_path / "site", root=root, log=said.append)
    assert (
        said[0]
        == "-- notebooks/01_films.ipynb was changed since it was run: its page shows it as it was; ./reproduce.sh runs it again"
    )


@pytest.mark.parametrize(
    "link, said",
    [
        ("[a](evlib/three.md)", r"index\.md:\d+: .*evlib/three\.md"),
        ("![a](none.png)", r"index\.md:\d+: .*none\.png"),
        ("[a](#nowhere)", r"index\.md:\d+: .*nowhere"),
        ('<img src="https://example.org/a.png">', r"index\.html: .*a\.png.*network"),
        ("[a](evlib/three.py)", r"index\.md:\d+: .*evlib/three\."),
    ],
)
def test_a_broken_link_stops_the_build_and_leaves_the_old_site(root, tmp_path, link, said):
    old = tmp_path / "site" / "index.html"
    old.parent.mkdir()
    old.write_text("old")
    with (root / "README.md").open("a") as readme:
        readme.write(f"\n{link}\n")
    with pytest.raises(EvlibError, match=said):
        build(old.parent, root=root, log=lambda line: None)
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".site")] == []


def test_a_notebook_that_is_none_is_named_and_one_without_a_title_gets_its_name(root, tmp_path):
    (root / "notebooks/03_mine.ipynb").write_text(nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")])))
    site = build(tmp_path / "site", root=root, log=lambda line: None).parent
    assert "<h1>03_mine" in (site / "results/demo/notebooks/03_mine.html").read_text(encoding="utf-8")
    (root / "notebooks/03_mine.ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(EvlibError, match="03_mine.ipynb is not a notebook"):
        build(tmp_path / "site", root=root, log=lambda line: None)


def test_a_folder_of_somebody_else_is_not_replaced(root, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(EvlibError, match="thesis.tex"):
        build(tmp_path / "mine", root=root, log=lambda line: None)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "..."


def test_an_unknown_profile_and_a_folder_that_is_no_project_are_refused(root, tmp_path):
    with pytest.raises(EvlibError, match="Unknown profile 'dmo': did you mean 'demo'"):
        build(tmp_path / "site", "dmo", root)
    with pytest.raises(EvlibError, match="has no README.md"):
        build(tmp_path / "site", root=tmp_path)


def test_the_profiles_are_those_that_can_be_run():
    assert set(pages.PROFILES) == set(PROFILES)


def test_excerpts_of_data_sets_are_left_out(tmp_path):
    names = ["metrics.json", "predictions.csv", "attention.csv", "log.csv", "samples.png"]
    for profile in ("demo", "real", "new"):
        for name in names:
            path = tmp_path / "results" / profile / "runs/sst2" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    assert sorted(path.name for path in pages.listed(tmp_path, tmp_path / "results/demo")) == sorted(names)
    for profile in ("real", "new"):
        assert [path.name for path in pages.listed(tmp_path, tmp_path / "results" / profile)] == [
            "log.csv",
            "metrics.json",
        ]


# ---- the checker -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, wrong",
    [
        ('<a href="b.html#there">', None),
        ('<a href="b.html">', None),
        ('<a href="https://example.org">', None),
        ('<img src="data:image/png;base64,AA">', None),
        ('<a href="c%20d.html">', None),
        ('<a href="#">', None),
        ('<pre>&lt;a href="none.html"&gt;</pre>', None),
        ('<a href="none.html">', "a.html: 'none.html' leads to nothing in the site."),
        ('<a href="b.html#gone">', "a.html: 'b.html#gone' leads to a page without that anchor."),
        ('<a href="../outside.html">', "a.html: '../outside.html' leads to nothing in the site."),
        ('<a href="/b.html">', "a.html: '/b.html' leads to nothing in the site."),
        ('<a href="folder/">', "a.html: 'folder/' leads to nothing in the site."),
        ('<img srcset="b.html 1x, none.png 2x">', "a.html: 'none.png' leads to nothing in the site."),
        (
            '<script src="//cdn.example.org/x.js"></script>',
            "a.html: '//cdn.example.org/x.js' is fetched from the network; the site has to work without.",
        ),
        (
            '<style>@import "https://example.org/x.css";</style>',
            "a.html: 'https://example.org/x.css' is fetched from the network; the site has to work without.",
        ),
        ('<p style="background: url(none.png)">', "a.html: 'none.png' leads to nothing in the site."),
    ],
)
def test_the_checker(tmp_path, body, wrong):
    (tmp_path / "outside.html").write_text("")
    site = tmp_path / "site"
    (site / "folder").mkdir(parents=True)
    (site / "b.html").write_text('<h1 id="there">')
    (site / "c d.html").write_text("")
    (site / "a.html").write_text(body)
    assert links.check(site)[0] == ([wrong] if wrong else [])


def test_the_checker_reads_style_sheets(tmp_path):
    (tmp_path / "a.css").write_text(
        "@font-face { src: url('https://fonts.example.org/a.woff2') } b { background: url(data:image/svg+xml,x) }"
    )
    assert links.check(tmp_path)[0] == [
        "a.css: 'https://fonts.example.org/a.woff2' is fetched from the network; the site has to work without."
    ]
