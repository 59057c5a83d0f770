"""The site: every page is there, nothing leads nowhere, nothing needs the network, nothing shows what is not ours."""

import base64
import html
import io
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes
from PIL import Image

from evlib.paper.site import assemble, build
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


README = """# Small

[source](notebooks/01_films.ipynb), [run](results/demo/notebooks/01_films.ipynb), [not run](notebooks/02_words.ipynb),
[all](notebooks), [code](evlib/one.py), [room](evlib/room), [measured](results/README.md), [runs](results/demo/runs),
[score](results/real/runs/sst2/metrics.json), [license](LICENSE), [below](#end). ![picture](results/demo/a.png)
<img src="results/demo/a.png" width="50%" alt="the same">

## End
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with two notebooks, of which one was run, two modules and some results."""
    root = tmp_path_factory.mktemp("project")
    outputs = [
        new_output("display_data", {"image/png": base64.b64encode(png()).decode(), "text/plain": "a picture"}),
        new_output("display_data", {"text/markdown": "| word | times |\n|---|---|\n| frog | 7 |"}),
    ]
    title = new_markdown_cell("# 1 · Films\n\nSee [the other](02_words.ipynb).")
    run = new_notebook(cells=[title, new_code_cell("film", execution_count=1, outputs=outputs)])
    written = {
        "README.md": README,
        "LICENSE": "MIT",
        "notebooks/01_films.ipynb": writes(new_notebook(cells=[title, new_code_cell("film")])),
        "notebooks/02_words.ipynb": writes(new_notebook(cells=[new_markdown_cell("# Words"), new_code_cell("!ls")])),
        "evlib/one.py": '"""First."""\n\n\ndef start():\n    return "[two](nowhere.md)"\n',
        "evlib/room/__init__.py": '"""Its law."""\n',
        "evlib/room/table.csv": "a,b\n",
        "results/README.md": "# Measured\n\n[front](../README.md), [demo](demo), [json](demo/runs/sst2/metrics.json)\n",
        "results/demo/notebooks/01_films.ipynb": writes(run),
        "results/demo/notebooks/.cache/x.md": "hidden",
        **{
            f"results/{profile}/runs/sst2/{name}": "{}"
            for profile in ("demo", "real", "new")
            for name in ("metrics.json", "predictions.csv", "log.csv", "model.safetensors")
        },
        "results/real/notebooks/01_films.ipynb": writes(run),
        "results/real/table2.md": "# Table 2\n",
    }
    for name, content in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    for name in ("results/demo/a.png", "results/real/runs/sst2/samples.png"):
        (root / name).write_bytes(png())
    return root


@pytest.fixture(scope="module")
def site(root, tmp_path_factory) -> Path:
    front = build(tmp_path_factory.mktemp("built") / "site", root)
    assert front.name == "index.html"
    return front.parent


class Page(HTMLParser):
    """What an HTML page offers and wants."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links, self.fetched = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        if "href" in given:
            (self.fetched if given.get("rel") == "stylesheet" else self.links).append(given["href"])
        if "src" in given:
            self.fetched.append(given["src"])


def broken(site: Path) -> list[str]:
    """Links and parts of pages that lead to nothing in the site, and parts that are fetched from the network."""
    pages, wrong = {path: Page(path) for path in site.rglob("*.html")}, []
    for path, page in pages.items():
        for link in (*page.links, *page.fetched):
            url = urlsplit(link)
            if url.scheme or url.netloc:
                wrong += [f"{path.name}: {link}"] if link in page.fetched and url.scheme != "data" else []
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            found = target.is_relative_to(site) and target.is_file()
            if not found or (url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors):
                wrong.append(f"{path.name}: {link}")
    return wrong


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_link_and_picture_is_found_and_nothing_needs_the_network(site):
    assert broken(site.resolve()) == []


def test_links_of_the_front_page_lead_to_pages(site):
    links = Page(site / "index.html").links
    notebooks = "results/demo/notebooks"
    assert links.count(f"{notebooks}/01_films.html") >= 2  # of the source, too: its executed copy is shown
    pages = [f"{notebooks}/02_words.html", f"{notebooks}/index.html", "evlib/one.html", "evlib/room/index.html"]
    assert {*pages, "results/README.html", "results/demo/runs/index.html"} <= set(links)
    assert len(re.findall("<img", (site / "index.html").read_text())) == 2


def test_a_notebook_shows_its_pictures_and_tables(site):
    page = (site / "results/demo/notebooks/01_films.html").read_text(encoding="utf-8")
    assert re.search(r'<img [^>]*src="[^"]*_images/[0-9a-f]{64}\.png"', page)
    assert re.search(r"<td><p>frog</p></td>", page)


def test_a_module_is_there_word_for_word_and_is_searched(site, root):
    block = re.search(r"<pre>(.*?)</pre>", (site / "evlib/one.html").read_text(encoding="utf-8"), re.S)[1]
    source = re.sub(r"<[^>]+>", "", re.sub(r'<span class="linenos">[^<]*</span>', "", block))
    assert html.unescape(source).strip() == (root / "evlib/one.py").read_text().strip()
    assert "nowher" in (site / "searchindex.js").read_text()


def test_folders_list_their_files(site):
    assert "table.csv" in text(site / "evlib/room/index.html") and "Its law." in text(site / "evlib/room/__init__.html")
    assert "predictions.csv" in text(site / "results/demo/runs/sst2/index.html")


def test_excerpts_of_data_sets_are_left_out(root, tmp_path):
    assemble(root, tmp_path / "pages")
    for profile in ("real", "new"):
        found = {path.name for path in (tmp_path / "pages/results" / profile).rglob("*") if path.is_file()}
        assert found - {"index.md", "table2.md"} == {"metrics.json", "log.csv"}
    names = {path.name for path in (tmp_path / "pages/results/demo/runs/sst2").iterdir()}
    assert names == {"index.md", "metrics.json", "predictions.csv", "log.csv"}
    assert not list((tmp_path / "pages").rglob(".cache"))


@pytest.mark.parametrize(
    "line, message",
    [
        ("[a](evlib/three.md)", r"README\.md:\d+: .*evlib/three\.md"),
        ("![a](none.png)", r"README\.md:\d+: .*none\.png"),
        ("[a](#nowhere)", r"README\.md:\d+: .*nowhere"),
    ],
)
def test_a_broken_link_stops_the_build_and_leaves_the_old_site(tmp_path, line, message):
    root, old = tmp_path / "project", tmp_path / "site/index.html"
    for path in (root / "evlib/one.py", root / "results/README.md", old):
        path.parent.mkdir(parents=True)
        path.write_text("# old\n")
    (root / "README.md").write_text(f"# Small\n\n{line}\n")
    with pytest.raises(EvlibError, match=message):
        build(old.parent, root)
    assert old.read_text() == "# old\n" and [path.name for path in tmp_path.glob(".site*")] == []


def test_folders_of_somebody_else(root, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(EvlibError, match="has no README.md"):
        build(tmp_path / "site", tmp_path)
    with pytest.raises(EvlibError, match="thesis.tex"):
        build(tmp_path / "mine", root)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "..."


def test_the_site_of_this_project_can_be_built(tmp_path):
    if not list((project() / "results/demo/notebooks").glob("*.ipynb")):
        pytest.skip("no executed notebooks in results/demo/notebooks: ./reproduce.sh writes them")
    site = build(tmp_path / "site").parent.resolve()
    assert broken(site) == []
    tracked = subprocess.run(["git", "ls-files", "evlib/*.py"], cwd=project(), capture_output=True, text=True).stdout
    assert all((site / name).with_suffix(".html").is_file() for name in tracked.splitlines())
