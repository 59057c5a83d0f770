"""Sphinx's settings for the site."""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.parsers import Parser

project = html_title = "Everything is a video"
extensions = ["myst_nb"]
root_doc = "README"
suppress_warnings = ["myst-nb.lexer"]  # of notebooks that were not run

html_theme = "furo"
html_static_path = html_css_files = ["site.css"]
html_copy_source = html_show_copyright = html_use_index = False
html_show_search_summary = False  # a browser may not read other pages from the disk

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 3  # links to headings, as on GitHub
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # else a table that a cell displays stays text
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # notebooks store no widgets


class PythonParser(Parser):
    """A module's page shows its source."""

    supported = ("python",)

    def parse(self, source: str, document: nodes.document) -> None:
        name = f"{document.settings.env.docname}.py"
        code = nodes.literal_block(source, source, language="python", linenos=True)
        document += nodes.section("", nodes.title("", name), code, ids=["source"])


def link_folders(app, doctree: nodes.document) -> None:
    """A link to a folder leads to the page that lists it, and one to a notebook to its executed copy."""
    for node in doctree.findall(lambda node: isinstance(node, addnodes.pending_xref) and not node.get("refdomain")):
        name = re.sub("^notebooks", "results/demo/notebooks", app.env.relfn2path(node["reftarget"])[0])
        path = Path(app.srcdir, name)
        if path.exists():
            page = f"{name}/index" if path.is_dir() else name.removesuffix(path.suffix)
            node.attributes.update(refdomain="doc", reftarget=page, reftargetid=None)


def setup(app) -> None:
    app.add_source_suffix(".py", "python")
    app.add_source_parser(PythonParser)
    app.connect("doctree-read", link_folders)
