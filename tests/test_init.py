"""The names that `evlib` re-exports."""

import subprocess
import sys

import pytest

import evlib


@pytest.mark.parametrize("first", ["tasks", "generate", "load"])
def test_names_are_found_whichever_is_imported_first(first):
    """In a process of its own: what another import has brought along must not be needed."""
    code = f"import evlib; evlib.{first}; print([getattr(evlib, name) for name in evlib._HOME])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "<module" in done.stdout and done.stdout.count("<module") == 1


def test_what_is_no_name_is_said():
    with pytest.raises(AttributeError, match="no attribute 'renders'"):
        evlib.renders  # noqa: B018
    assert "render" in dir(evlib)
