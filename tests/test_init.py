"""The names that `evlib` re-exports."""

import subprocess
import sys

import pytest

import evlib


@pytest.mark.parametrize("name", evlib._HOME)
def test_a_name_can_be_the_first_that_is_imported(name):
    """Each in a process of its own: what another import has brought along must not be needed."""
    code = f"from evlib import {name} as first; from evlib import {name} as again; assert first is again; print(first)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and name in done.stdout


def test_what_is_no_name_is_said():
    with pytest.raises(AttributeError, match="no attribute 'renders'"):
        evlib.renders  # noqa: B018
    assert "render" in dir(evlib)
