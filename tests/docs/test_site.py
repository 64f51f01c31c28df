"""The site: it builds without a warning, shows every public name, and fetches nothing when it is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

import crossthread
import crossthread.deploy
import crossthread.telemetry
import crossthread.testing
import crossthread.ui
from crossthread import errors


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", ".mkdocs.yml", "-d", str(folder)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_and_example_is_there_and_in_the_navigation(site):
    start = site.joinpath("index.html").read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.joinpath("docs").rglob("*.md")]
    pages += [path.relative_to(ROOT).with_suffix(".html") for path in ROOT.joinpath("examples").glob("*.py")]
    for page in pages:
        assert site.joinpath(page).exists()
        assert page.name == "index.html" or f'href="{page.as_posix()}"' in start, page


def test_links_to_the_examples_lead_to_their_pages(site):
    assert 'href="examples/index.html"' in site.joinpath("tutorial.html").read_text("utf-8")
    page = site.joinpath("examples", "01_cross_thread_memory.html").read_text("utf-8")
    assert "Cross thread memory" in page
    assert "<code>" in page


def test_nothing_is_fetched_from_elsewhere(site):
    loading = re.compile(r"""(?:\ssrc=|<link\b[^>]*?\shref=|url\(|@import\s)["']?((?:https?:)?//[^"')\s]+)""")
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not loading.findall(path.read_text("utf-8")), path


def test_charts_and_pictures_are_on_the_site(site):
    for path in Path(ROOT, "docs").rglob("*.*"):
        if path.suffix in (".svg", ".png"):
            assert site.joinpath(path.relative_to(ROOT / "docs")).exists()


def test_every_public_name_is_in_the_reference(site):
    pages = "\n".join(page.read_text("utf-8") for page in site.joinpath("reference", "python").glob("*.html"))
    for module in (crossthread, crossthread.deploy, crossthread.telemetry, crossthread.testing, crossthread.ui):
        for name in getattr(module, "__all__", ("store", "checkpointer")):
            if name == "InvalidNamespaceError":
                continue  # LangGraph's own
            home = errors if hasattr(errors, name) else module
            assert f'id="{home.__name__}.{name}"' in pages, f"{name} is on no page of docs/reference/python"


def test_every_public_name_is_in_the_summary():
    summary = "".join(ROOT.joinpath("docs", "reference", f"{name}.md").read_text("utf-8") for name in ("api", "errors"))
    names = (*crossthread.__all__, *crossthread.testing.__all__)
    lacking = [name for name in names if not re.search(rf"\b{name}\b", summary)]
    assert not lacking, "neither in docs/reference/api.md nor in errors.md"
