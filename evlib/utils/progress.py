"""How far a long job has come: a bar in a terminal, a plain line every few seconds where there is none (a pipe, papermill, a notebook).

    with progress.bar("cifar10: encoding", total=60_000, unit="images") as bar:
        for image in images:
            ...
            bar.advance()                   # cheap: what is shown changes a few times a second
    with progress.bar("sst2: training") as bar:
        bar.to(0.4)                         # a share, 0..1, where time ends the job and not a count
        bar.note("loss 0.31  SSIM 0.80")    # a few words beside it

    cifar10: encoding 12,000 of 60,000 images (20 %), 5,100/s, 0:09 left

Lines printed meanwhile appear above the bar. Of the processes that torchrun started, only the first shows anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 5.0  # seconds between two plain lines
REDRAW = 0.1  # seconds between two states of the bar


def log_line(line: str) -> None:
    """The default `log` of everything here: a line on stdout, at once."""
    print(line, flush=True)


@contextmanager
def bar(
    what: str, total: float | None = None, unit: str = "", log: Callable[[str], None] = log_line, done: float = 0
) -> Iterator[Bar]:
    """A job named `what`, of `total` steps called `unit` (None: not known), of which `done` were there before. Of "bytes", megabytes are shown.

    The bar is drawn if `log` is the default (or `print`) and stdout is a terminal; else `log` gets a line every EVERY seconds. A job that
    ends sooner says nothing: it is for the caller to say what came of it."""
    job = Bar(what, total, unit, done)
    if os.environ.get("RANK", "0") != "0":  # of torchrun: the first process speaks for all
        yield job
    elif log in (log_line, print) and is_terminal():
        with _drawn(job):
            yield job
    else:
        job.show, job.every = lambda: log(job.line()), EVERY
        yield job


def is_terminal() -> bool:
    """Whether stdout can draw over its own lines. A Jupyter kernel's cannot."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


class Bar:
    """The state of one job, and what is said about it."""

    def __init__(self, what: str, total: float | None, unit: str, done: float):
        self.what, self.total, self.unit, self.done, self.text = what, total, unit, done, ""
        self.begin = self.shown = time.monotonic()
        self.first = done  # speed is that of this call only
        self.show: Callable[[], None] | None = None  # None: nobody is looking
        self.every = EVERY

    def advance(self, n: float = 1) -> None:
        """`n` more steps are done."""
        self.done += n
        self._due()

    def to(self, share: float) -> None:
        """So much of the job is done, 0..1: for a job that is not counted in steps."""
        if self.total is None:
            self.total, self.unit = 1.0, "share"
            self.first = share if share < 1 else 0.0  # a continued job begins where it was stopped
        self.done = share * self.total
        self._due()

    def note(self, text: str) -> None:
        """A few words that stand beside the bar from now on."""
        self.text = text
        self._due()

    def _due(self) -> None:
        now = time.monotonic()
        if self.show is not None and now - self.shown >= self.every:
            self.shown = now
            self.show()

    def line(self) -> str:
        """All of it in one plain line."""
        percent = f" ({self.share:.0%})".replace("%", " %") if self.share is not None and self.unit != "share" else ""
        left = f"{format_duration(self.left)} left" if self.left is not None else ""
        return ", ".join(
            part for part in (f"{self.what} {self.counts()}{percent}", self.speed(), left, self.text) if part
        )

    def counts(self) -> str:
        """`12,000 of 60,000 images`, `12.0 of 60.0 MB`, `20 %`."""
        if self.unit == "share":
            return f"{self.done:.0%}".replace("%", " %")
        number = _megabytes if self.unit == "bytes" else "{:,.0f}".format
        unit = "MB" if self.unit == "bytes" else self.unit
        return f"{number(self.done)}{'' if self.total is None else f' of {number(self.total)}'} {unit}".rstrip()

    def speed(self) -> str:
        """`5,100/s`; "" where nothing is counted."""
        if self.unit == "share" or not self.rate:
            return ""
        if self.unit == "bytes":
            return f"{_megabytes(self.rate)} MB/s"
        return f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s"

    @property
    def share(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def rate(self) -> float:
        """Steps a second since the job began."""
        return (self.done - self.first) / max(time.monotonic() - self.begin, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds, if it goes on like this; None where nobody can know."""
        return max(0.0, self.total - self.done) / self.rate if self.total and self.rate > 0 else None


def format_duration(seconds: float) -> str:
    """`0:09`, `12:30`, `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f}"


@contextmanager
def _drawn(job: Bar) -> Iterator[None]:
    """The job as a bar that rich draws, gone when the job is over. What is printed meanwhile, rich puts above it."""
    from rich.console import Console  # imported where a terminal is: a tenth of a second
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stdout), transient=True) as progress:
        row = progress.add_task(escape(job.what), total=job.total, completed=job.done, said="")

        def show() -> None:
            left = f"{format_duration(job.left)} left" if job.left is not None else ""
            said = ", ".join(
                part for part in (job.counts() if job.done or job.total else "", job.speed(), left, job.text) if part
            )
            progress.update(row, total=job.total, completed=job.done, said=escape(said))

        job.show, job.every = show, REDRAW
        show()
        yield
