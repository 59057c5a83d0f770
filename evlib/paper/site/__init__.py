"""The project as a site: README, executed notebooks, code and results, with one table of contents and a search.

    ./reproduce.sh html      ->  .site/index.html

A folder of plain files: it opens from the disk, without a server and without the network. Nothing is executed to make it.
"""

from __future__ import annotations

import io
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from evlib.config import nearest
from evlib.paper.site import links, pages
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

# Warnings with which Sphinx drops a link or a picture.
BROKEN = re.compile(r"\[(myst\.xref_missing|image\.not_readable|download\.not_readable|toc\.not_readable)\]")


def build(
    out: Path | None = None, profile: str = "demo", root: Path | None = None, log: Callable[[str], None] = print
) -> Path:
    """Builds the site of the project at `root` (default: this one) with the executed notebooks of results/<profile> into the folder `out`
    (default: .site), replacing it, and returns the path of its front page. A broken link or a missing picture is an EvlibError that names
    page and link, and leaves what was there."""
    root = project() if root is None else root.resolve()
    out = root / ".site" if out is None else out.resolve()
    if profile not in pages.PROFILES:
        raise EvlibError(f"Unknown profile {profile!r}{nearest(profile, list(pages.PROFILES))}")
    for name in ("README.md", "notebooks", "evlib"):
        if not (root / name).exists():
            raise EvlibError(
                f"{root} has no {name}: the site is made from a clone of the project; change into one and run ./reproduce.sh html."
            )
    with tempfile.TemporaryDirectory(prefix="evlib-site-") as folder, files.atomic(out) as temporary:
        for note in pages.write(root, Path(folder, "pages"), profile):
            log(f"-- {note}")
        said = _sphinx(Path(folder, "pages"), temporary, Path(folder, "doctrees"))
        wrong, outside = links.check(temporary)
        wrong = [line for line in said if BROKEN.search(line)] + wrong
        if wrong:
            raise EvlibError(f"{wrong[0]}{f' ({len(wrong) - 1} more like this.)' if wrong[1:] else ''}")
        for line in said:
            log(f"-- {line}")
        count = len(list(temporary.rglob("*.html")))
    log(
        f"-- {count} pages, every link and picture in them found; {len(outside)} links lead out: {', '.join(sorted(outside))}"
    )
    return out / "index.html"


def _sphinx(source: Path, out: Path, doctrees: Path) -> list[str]:
    """Runs Sphinx, and returns what it warned of, page first."""
    try:
        from sphinx.application import Sphinx
        from sphinx.errors import SphinxError
        from sphinx.util.console import nocolor
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    except ImportError:
        raise EvlibError(
            "Sphinx, which makes the pages, is not installed: run ./reproduce.sh html, which sets up what is missing."
        ) from None
    nocolor()
    said = io.StringIO()
    try:
        with patch_docutils(), docutils_namespace(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="myst_")  # what its authors will change for the next Sphinx
            Sphinx(source, Path(__file__).parent, out, doctrees, "html", status=None, warning=said).build()
    except SphinxError as error:
        raise EvlibError(f"Sphinx stopped: {error}") from None
    (out / "objects.inv").unlink(missing_ok=True)  # for other sites to link here; there are none
    return [
        line.replace(f"{source}/", "").replace("WARNING: ", "") for line in said.getvalue().splitlines() if line.strip()
    ]
