"""One formatter, one order of imports, 120 columns: settings in pyproject.toml."""

import subprocess
import sys

import pytest

from evlib.utils.paths import project


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(command):
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "evlib", "tests"], cwd=project(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
