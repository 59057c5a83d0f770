"""python -m evlib.site: what ./reproduce.sh html runs."""

import sys
from pathlib import Path

import tyro

from evlib.paper.site import build
from evlib.utils.errors import EvlibError


def main(out: Path | None = None, profile: str = "demo") -> None:
    """Build the site of the executed notebooks, the README, the code and the results.

    Args:
        out: folder of the site (default: .site in the project)
        profile: whose executed notebooks: results/PROFILE/notebooks
    """
    try:
        print(build(out, profile))
    except EvlibError as error:
        print(f"evlib: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m evlib.site")
