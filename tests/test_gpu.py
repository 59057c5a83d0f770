"""Steps, answers and a run to its end on a CUDA device that is not there: see pretended_gpu.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: g++")
def test_nothing_waits_for_the_gpu_or_crosses_devices():
    script = Path(__file__).with_name("pretended_gpu.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.count("ok: ") == 10
