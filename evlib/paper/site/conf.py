"""How Sphinx draws the site. Read by `evlib.site.build`, which writes the sources of the pages."""

from importlib.metadata import version

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = html_title = "Everything is a video"
version = version("evlib")
extensions = ["myst_nb"]
exclude_patterns = ["notebooks/*.ipynb"]  # sources, to download; the pages are the executed copies
suppress_warnings = ["toc.not_included"]  # folders are reached through links

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = html_use_index = html_domain_indices = False
html_show_search_summary = False  # from the disk a browser may not read the pages found; titles are in the index
html_math_renderer = "mathml"  # the default fetches MathJax from the network
pygments_style, pygments_dark_style = "default", "github-dark"

myst_enable_extensions = ["dollarmath", "colon_fence"]  # $...$ as Jupyter reads it; ::: for the site's own notes
myst_heading_anchors = 3  # links to headings, as on GitHub

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_text_lexer = "none"
nb_render_markdown_format = "myst"  # else a table that a cell displays stays text
# A stored notebook carries no widget state; the same thing is drawn statically beneath.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]


def _inline(writer, node: nodes.math) -> None:
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(writer, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    """Formulas become MathML, which browsers draw themselves."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
