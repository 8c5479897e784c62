"""A real Chromium, and a real server with a worker, which all tests of the page share.

They end with the last test of this package: while Playwright runs, no other test in this process can run an event loop.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from safetensors.numpy import load_file, save_file

from store.settings import SHIPPED_CATALOG
from tests.catalogue import entry, write_catalogue
from tests.cli.running import Up
from tests.web.studio import TIMEOUT, Studio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Chromium cannot use its sandbox as root. The other flags keep it from connecting to other servers.
FLAGS = [
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def catalog(folder: Path) -> Path:
    """A catalogue with the shipped model and a copy of it that has a NaN weight, so that its jobs fail.

    The copy makes pictures of several sizes.
    """
    shipped = SHIPPED_CATALOG.parent / "emoji"
    shutil.copytree(shipped, folder / "broken")
    weights = load_file(folder / "broken" / WEIGHTS)
    name = next(iter(weights))
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, folder / "broken" / WEIGHTS)
    return write_catalogue(folder, entry(id="broken", title="Broken", source="broken", max_size=256))


@pytest.fixture(scope="package")
def server() -> Iterator[str]:
    """The address of a server whose worker runs two jobs at once."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        folder = Path(name)
        settings = {"UNDERPAINT_CATALOG": str(catalog(folder)), "UNDERPAINT_CONCURRENCY": "2"}
        with Up(folder / "data", **settings) as up:
            yield up.ready()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("the tests of the page need Chromium: on Debian, apt install chromium")
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def studio(browser: Browser, server: str) -> Iterator[Studio]:
    """A browser context for the page. At the end all jobs are canceled, and no tab may have reported an error."""
    with Studio.opened(browser, server) as studio:
        yield studio


@pytest.fixture
def page(studio: Studio) -> Page:
    """A tab with the page, without a job."""
    return studio.open()
