"""Progress of a long job: tqdm's bar in a terminal, else (a pipe, papermill, a notebook) a line every few seconds.

    with progress.bar("cifar10: encoding", total=60_000, unit="images") as bar:
        for image in images:
            ...
            bar.update()
            bar.set_postfix_str("loss 0.31", refresh=False)    # shown from the next update on

Of the processes that torchrun started, only the first shows anything.
"""

import os
import shutil
import sys
from collections.abc import Callable

from tqdm import tqdm

EVERY = 5.0  # seconds between two plain lines
tqdm.monitor_interval = 0  # no thread: `update` checks the time itself


def log_line(line: str) -> None:
    """The default `log` of the package: a line on stdout, flushed, above a bar if there is one."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def is_terminal() -> bool:
    """Whether stdout can redraw its own lines. A Jupyter kernel's cannot."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def bar(
    what: str, total: float | None = None, unit: str = "", log: Callable[[str], None] = log_line, initial: float = 0
) -> tqdm:
    """A job of `total` steps (None: unknown) called `unit`, `initial` of them done before; a context manager.

    Bytes ("B") are shown in k, M and G; without a unit, a bar shows the percentage alone. Without a terminal, or with a
    `log` other than the default, `log` gets a line every EVERY seconds, and none if the job ends sooner."""
    if is_terminal() and log is log_line:
        settings = {"file": sys.stdout, "ncols": shutil.get_terminal_size().columns}
    else:
        settings = {"file": _Lines(log), "ncols": 0, "mininterval": EVERY, "delay": EVERY}
    if not unit:
        settings["bar_format"] = "{desc}" if total is None else "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"
    settings |= {"unit": unit if unit == "B" else f" {unit}", "unit_scale": unit == "B"}
    settings |= {"miniters": 0, "leave": False, "disable": os.environ.get("RANK", "0") != "0"}
    return tqdm(desc=what, total=total, initial=initial, **settings)


class _Lines:
    """A file for tqdm that turns every state of its bar into a line."""

    def __init__(self, log: Callable[[str], None]):
        self.log = log

    def write(self, text: str) -> None:
        if text := text.strip():
            self.log(text)

    def flush(self) -> None:
        pass
