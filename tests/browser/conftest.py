"""JupyterLab on a free port, and a browser that opens it."""

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper.budgets import budget
from evlib.paper.notebook import ready
from evlib.training.checkpoint import has_weights
from evlib.training.train import train
from evlib.utils.paths import project

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root, and where there is no desktop; and the browser calls nobody but JupyterLab.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
BRIEF = 2 / 60  # minutes of training where no finished run is there


def pytest_addoption(parser):
    where = "where screenshots of the notebooks go (default: a temporary folder)"
    parser.addoption("--screenshots", default=None, metavar="DIR", help=where)


@pytest.fixture(scope="session")
def screenshots(request, tmp_path_factory) -> Path:
    folder = Path(request.config.getoption("--screenshots") or tmp_path_factory.mktemp("screenshots")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots: {folder}")
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """Copies of the published runs that have weights."""
    copy = tmp_path_factory.mktemp("results") / "demo"
    for run in sorted((project() / "results/demo/runs").glob("*")):
        if has_weights(run):
            shutil.copytree(run, copy / "runs" / run.name)
    return copy


@pytest.fixture(scope="session")
def reviewer(results) -> str:
    """The name of a run that can tell plain praise from plain blame, which a network trained for two seconds cannot."""
    run, task = results / "runs/sst2", tasks.get("sst2")
    if not has_weights(run):
        run = results / "runs/reviewer"
        train(task.config("demo", **budget("sst2", "demo", "miniature")), encode(task, ready(".miniatures")), run)
    return run.name


@pytest.fixture(scope="session")
def notebooks(results, tmp_path_factory) -> Path:
    """Copies of the notebooks that use those runs, and train for seconds where there is none."""
    ready(".miniatures")
    folder = tmp_path_factory.mktemp("notebooks")
    for source in sorted((project() / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(source, as_version=4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        task = re.search(r'^task: str = "(.+?)"', cell.source, re.MULTILINE)
        changes = {"results: str": f'"{results}"'}
        if not task or not has_weights(results / "runs" / task[1]):
            changes["minutes: float"] = str(BRIEF)
        for name, value in changes.items():
            cell.source = re.sub(rf"^{name} = \S+", f"{name} = {value}", cell.source, flags=re.MULTILINE)
        nbformat.write(notebook, folder / source.name)
    return folder


@pytest.fixture(scope="session")
def lab(notebooks, tmp_path_factory):
    """The address of a running JupyterLab, as a function of a notebook's name. It leaves the user's settings alone."""
    home, token = tmp_path_factory.mktemp("jupyter"), secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    private = {
        name: str(home / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={notebooks}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    notification = home / "jupyterlab_settings_dir/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    notification.parent.mkdir(parents=True)
    notification.write_text('{"fetchNews": "false"}')  # else it asks, over the notebook
    with open(home / "lab.log", "w+") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **private}, cwd=notebooks
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, home / "lab.log")
            yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?token={token}&reset"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: int = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"needs a browser, found none of {', '.join(BROWSERS)}: ./reproduce.sh test --browser installs one"
    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=found, args=list(QUIET))
        yield program
        program.close()
