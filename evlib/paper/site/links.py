"""Does the site hang together? Every link, picture and script of its pages leads to something in it, and nothing is fetched from the network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")  # what a style sheet asks for


@dataclass
class Page:
    """What one HTML page offers and wants."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)  # followed when clicked
    parts: list[str] = field(default_factory=list)  # fetched to show the page: pictures, scripts, styles, sounds


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.style = Page(), False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.style = tag == "style"
        self.page.anchors |= {given[name] for name in ("id", "name") if name in given and (name == "id" or tag == "a")}
        if "href" in given:
            fetched = tag == "link" and {"stylesheet", "icon", "preload", "manifest"} & set(
                given.get("rel", "").split()
            )
            (self.page.parts if fetched else self.page.links).append(given["href"])
        self.page.parts += [
            given[name] for name in ("src", "poster", "data") if name in given and (name != "data" or tag == "object")
        ]
        self.page.parts += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.page.parts += _fetched(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.style:
            self.page.parts += _fetched(data)

    def handle_endtag(self, tag: str) -> None:
        self.style = False


def _fetched(css: str) -> list[str]:
    return [first or second for first, second in FETCHED.findall(css)]


def read(path: Path) -> Page:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page


def check(site: Path) -> tuple[list[str], set[str]]:
    """(what is wrong, a sentence each; the links that lead out, which are not followed) of the HTML pages and style sheets under `site`."""
    site = site.resolve()
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    sheets = {path: Page(parts=_fetched(path.read_text(encoding="utf-8"))) for path in sorted(site.rglob("*.css"))}
    wrong, outside = [], set()
    for path, page in {**pages, **sheets}.items():
        for link, part in [*((link, False) for link in page.links), *((link, True) for link in page.parts)]:
            url = urlsplit(link)
            said = f"{path.relative_to(site)}: {link!r}"
            if url.scheme in ("data", "mailto", "javascript"):
                continue
            if url.scheme or url.netloc:
                outside.add(link)
                wrong += [f"{said} is fetched from the network; the site has to work without."] if part else []
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if url.path.startswith("/") or not target.is_relative_to(site) or not target.is_file():
                wrong.append(f"{said} leads to nothing in the site.")
            elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors:
                wrong.append(f"{said} leads to a page without that anchor.")
    return wrong, outside
