"""A bar where a terminal is, plain lines where none is: both seen from outside, in a process of their own."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from evlib.utils import progress
from evlib.utils.progress import Bar, bar, format_duration, log_line

JOB = """
import time
from evlib.utils import progress
progress.EVERY = 0.05
with progress.bar("cifar10: encoding", 100, "images") as bar:
    for i in range(100):
        time.sleep(0.004)
        bar.advance()
        if i == 50:
            bar.note("half [of] it")
            print("a line between", flush=True)
print("ready")
"""
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_a_terminal(columns: int = 100, **environment: str) -> str:
    """All that JOB writes to a terminal of so many columns."""
    child, screen = pty.fork()
    if child == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ.update({"TERM": "xterm-256color", **environment})
        os.execv(sys.executable, [sys.executable, "-c", JOB])
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    seen = b""
    try:
        while part := os.read(screen, 65536):
            seen += part
    except OSError:  # Linux says so that the other side has closed
        pass
    assert os.waitpid(child, 0)[1] == 0
    os.close(screen)
    return seen.decode()


def piped(**environment: str) -> list[str]:
    """The lines that JOB writes into a pipe."""
    return subprocess.run(
        [sys.executable, "-c", JOB], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    ).stdout.splitlines()


# ---- as it is seen -----------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar():
    raw = in_a_terminal()
    states = [line for line in re.split("[\r\n]+", CODES.sub("", raw)) if "━" in line]
    counts = [int(found[1]) for line in states if (found := re.search(r"(\d+) of 100 images", line))]
    assert len(set(counts)) >= 3 and counts == sorted(counts)  # it moves
    assert "half [of] it" in states[-1] and "left" in states[-1] and max(map(len, states)) <= 100
    lines = [line.strip() for line in re.split("[\r\n]+", CODES.sub("", raw)) if line.strip() and "━" not in line]
    assert lines == ["a line between", "ready"]  # no line of progress besides
    assert raw.rindex("\x1b[2K") > raw.rindex("━") and raw.rindex("\x1b[?25h") > raw.rindex(
        "\x1b[?25l"
    )  # erased; the cursor is back


def test_colours_only_where_they_are_wanted():
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert colour.search(in_a_terminal()) and not colour.search(in_a_terminal(NO_COLOR="1"))


def test_a_terminal_that_cannot_draw_gets_lines():
    out = in_a_terminal(TERM="dumb")
    assert "━" not in out and "\x1b" not in out and "cifar10: encoding " in out


def test_a_pipe_gets_lines():
    lines = piped(FORCE_COLOR="1")  # as some services set it, whose logs are files all the same
    shape = re.compile(r"cifar10: encoding (\d+) of 100 images \((\d+) %\), \d+/s, 0:0\d left(, half \[of\] it)?")
    said = [shape.fullmatch(line) for line in lines if line not in ("a line between", "ready")]
    assert len(said) >= 3 and all(said) and lines[-1] == "ready"
    assert all(found[1] == found[2] for found in said)  # of a hundred: the count is the percentage
    assert all(bool(found[3]) == (int(found[1]) > 51) for found in said if found[1] != "51")  # the note stays


def test_only_the_first_process_speaks():
    assert piped(RANK="1") == ["a line between", "ready"] and "━" not in in_a_terminal(RANK="3")
    assert len(piped(RANK="0")) > 2


# ---- what is said ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clockwork(monkeypatch):
    """Time that passes when it is told to."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_the_line_of_the_module(clockwork):
    lines = []
    with bar("cifar10: encoding", 60_000, "images", lines.append) as job:
        clockwork(4.9)
        job.advance(6_000)
        assert lines == []  # not yet
        clockwork(0.1)
        job.advance(6_000)
        clockwork(3)
        job.advance(1_000)
    assert lines == ["cifar10: encoding 12,000 of 60,000 images (20 %), 2,400/s, 0:20 left"]


@pytest.mark.parametrize(
    "job, steps, line",
    [
        (Bar("a", None, "clips", 0), 30, "a 30 clips, 3.0/s"),
        (Bar("a", None, "", 0), 0, "a 0"),
        (
            Bar("a.zip:", 40_000_000, "bytes", 10_000_000),
            10_000_000,
            "a.zip: 20.0 of 40.0 MB (50 %), 1.0 MB/s, 0:20 left",
        ),
        (Bar("a", 0, "files", 0), 0, "a 0 of 0 files"),
        (Bar("a", 10, "files", 0), 20, "a 20 of 10 files (100 %), 2.0/s, 0:00 left"),
    ],
)
def test_counts_in_words(job, steps, line, clockwork):
    job.begin = progress.time.monotonic()
    clockwork(10)
    job.advance(steps)
    assert job.line() == line


def test_a_job_that_time_ends(clockwork):
    job = Bar("sst2: training", None, "", 0)
    job.to(0.5)  # continued where it was stopped
    clockwork(10)
    job.to(0.75)
    job.note("loss 0.31  SSIM 0.80")
    assert job.line() == "sst2: training 75 %, 0:10 left, loss 0.31  SSIM 0.80"


def test_a_short_job_and_one_that_fails(capsys):
    with bar("short", 3) as job:
        job.advance(3)
    with pytest.raises(KeyError), bar("failing", 3):
        raise KeyError
    assert capsys.readouterr().out == ""
    log_line("told")
    assert capsys.readouterr().out == "told\n"


def test_format_duration():
    assert [format_duration(s) for s in (0, 9.4, 59.6, 750, 3723)] == ["0:00", "0:09", "1:00", "12:30", "1:02:03"]
