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
from evlib.utils.progress import bar, log_line

JOB = """
import time
from evlib.utils import progress
progress.EVERY = 0.05
with progress.bar("cifar10: encoding", 100, "images") as bar:
    for i in range(100):
        time.sleep(0.004)
        bar.update()
        if i == 50:
            bar.set_postfix_str("half [of] it", refresh=False)
            progress.log_line("a line between")
print("ready")
"""


def in_a_terminal(columns: int = 100, **environment: str) -> str:
    """All that JOB writes to a terminal of so many columns."""
    child, screen = pty.fork()
    if child == 0:
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


# ---- seen from outside -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [100, 0])  # some terminals do not know their size
def test_a_terminal_gets_a_bar(columns):
    out = re.split("[\r\n]+", in_a_terminal(columns))
    states = [line for line in out if "█" in line]
    counts = [int(re.search(r"(\d+)/100 ", line)[1]) for line in states]
    assert len(set(counts)) >= 3 and counts == sorted(counts)  # it moves
    assert "half [of] it" in states[-1] and max(map(len, states)) <= (columns or 80)
    lines = [line for line in out if line.strip() and "cifar10" not in line]
    assert lines == ["a line between", "ready"]  # no line of progress besides
    assert not out[out.index("ready") - 1].strip()  # the bar is erased


def test_a_terminal_that_cannot_redraw_gets_lines():
    out = in_a_terminal(TERM="dumb")
    assert "█" not in out and "\x1b" not in out and "cifar10: encoding: " in out


def test_a_pipe_gets_lines():
    lines = piped()
    shape = re.compile(r"cifar10: encoding: +(\d+)% (\d+)/100 \[00:00<00:00, +[\d.]+ images/s(, half \[of\] it)?\]")
    states = [shape.fullmatch(line) for line in lines if line not in ("a line between", "ready")]
    assert len(states) >= 3 and all(states) and lines[-1] == "ready" and "a line between" in lines
    assert all(found[1] == found[2] for found in states)  # of a hundred: the count is the percentage
    assert all(bool(found[3]) == (int(found[1]) > 51) for found in states if found[1] != "51")  # the postfix stays


def test_only_the_first_process_speaks():
    assert piped(RANK="1") == ["a line between", "ready"] and "█" not in in_a_terminal(RANK="3")
    assert len(piped(RANK="0")) > 2


# ---- what the lines say ----------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)


def test_bytes_have_a_prefix(at_once):
    lines = []
    with bar("a.zip: fetching", 40e6, "B", lines.append, initial=10e6) as job:
        job.update(10e6)
    assert lines[-1].startswith("a.zip: fetching:  50% 20.0M/40.0M [00:00<00:00, ") and lines[-1].endswith("B/s]")


def test_an_unknown_total(at_once):
    lines = []
    with bar("a", None, "clips", lines.append) as job:
        job.update(30)
    assert lines[-1].startswith("a: 30 clips [00:00, ")


def test_a_share_that_is_set(at_once):
    lines = []
    with bar("sst2: training", 1, log=lines.append, initial=0.5) as job:  # continued where it was stopped
        job.set_postfix_str("loss 0.31", refresh=False)
        job.update(0.75 - job.n)
    assert lines[-1].startswith("sst2: training:  75%") and "loss 0.31" in lines[-1]


def test_a_short_job_and_one_that_fails(capsys):
    with bar("short", 3, "files") as job:
        job.update(3)
    with pytest.raises(KeyError), bar("failing", 3, "files"):
        raise KeyError
    assert capsys.readouterr().out == ""
    log_line("a line")
    assert capsys.readouterr().out == "a line\n"
