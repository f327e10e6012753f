"""A Jupyter server of a test's own and a real browser, for the tests that use pages as people do."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.paths import ENVIRONMENT, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "only-for-this-test"
PATIENCE = 120_000
"""Milliseconds that anything on a page may take: a kernel that imports torch on a busy machine is slow."""

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # every cell is in the page, in sight or not
    "notebook-extension/tracker": {"windowingMode": "none"},
}
"""JupyterLab's settings in all tests."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium")


def write_settings(home: Path, **theme: object) -> None:
    """Write the settings of a server at ``home``: those of all tests, and a ``theme``."""
    for name, content in {**SETTINGS, **({"apputils-extension/themes": theme} if theme else {})}.items():
        path = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def open_notebook(page: "Page", url: str) -> None:
    """Open a notebook, and wait for its kernel."""
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}?token={TOKEN}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    # the status is idle before there is a kernel, too
    page.locator(".jp-KernelName", has_text="Python 3").first.wait_for()
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first.wait_for(state="attached")


@contextmanager
def served(home: Path, work: Path) -> Iterator[str]:
    """Address of a JupyterLab on the loopback, at work in ``work``, which sees nothing of this machine's user."""
    folders = {
        "HOME": home,
        "IPYTHONDIR": home / "ipython",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options, f"--ServerApp.root_dir={work}"],
            env={**ENVIRONMENT, **{name: str(path) for name, path in folders.items()}},
            cwd=work,
            stdout=log,
            stderr=log,
        )
        try:
            yield _address(process, home)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: subprocess.Popen[bytes], home: Path) -> str:
    """Where the server listens, as soon as it says so."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end and process.poll() is None:
        for path in (home / "runtime").glob("jpserver-*.json"):
            if text := path.read_text():
                return str(json.loads(text)["url"])
        time.sleep(0.2)
    raise RuntimeError(f"Jupyter did not start: {(home / 'log').read_text()[-3000:]}")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()
