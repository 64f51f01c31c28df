"""What the tests of the inspector share: stores to look at, a client that is let in, one browser for all tests."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from langgraph.store.base import PutOp
from starlette.testclient import TestClient

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings
from crossthread.ui.app import create_app
from crossthread.ui.inspected import Inspected, open_inspected
from crossthread.ui.security import Session
from crossthread.ui.server import serving

ORIGIN = "http://127.0.0.1:8765"
HOSTS = frozenset({"127.0.0.1:8765", "localhost:8765"})


class Client(NamedTuple):
    """An HTTP client of an inspector that is not served, with its session."""

    http: TestClient
    session: Session

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(path, **more)

    def post(self, path: str, **fields: str) -> Any:
        return self.http.post(path, data={"secret": self.session.secret, **fields}, headers={"Origin": ORIGIN})

    def post_form(self, path: str, page: str, **changed: str) -> Any:
        """Send the form of a page, as a browser would, with some fields changed."""
        action = unescape(re.search(r'<form[^>]* method="post" action="([^"]*)"', page)[1])
        assert action.split("?")[0] == path
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
        data = {name: unescape(value) for name, value in fields} | changed
        return self.http.post(action, data=data, headers={"Origin": ORIGIN})


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stranger(closing: ExitStack) -> Callable[..., Client]:
    """Return a client of a store's inspector that has not been let in."""

    def client(looked_at: Inspected | MemoryStore | Path, **settings: Any) -> Client:
        if isinstance(looked_at, Path):
            looked_at = open_inspected(looked_at, **settings)
            closing.callback(looked_at.close)
        elif isinstance(looked_at, MemoryStore):
            looked_at = Inspected(looked_at, **settings)
        session = Session(8765)
        app = create_app(looked_at, session, HOSTS)
        return Client(TestClient(app, base_url=ORIGIN, follow_redirects=False), session)

    return client


@pytest.fixture
def visitor(stranger: Callable[..., Client]) -> Callable[..., Client]:
    """Return a client of a store's inspector that has been let in."""

    def client(looked_at: Inspected | MemoryStore | Path, **settings: Any) -> Client:
        found = stranger(looked_at, **settings)
        assert found.get(f"/enter?token={found.session.token}").status_code == 200
        return found

    return client


@pytest.fixture
def store(closing: ExitStack) -> MemoryStore:
    """An empty store that is searched by meaning and by words."""
    return closing.enter_context(MemoryStore(index={"embed": HashEmbeddings(), "mode": "hybrid", "fields": ["text"]}))


@pytest.fixture(scope="session")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a hundred thousand items in ten namespaces; it is only read."""
    path = tmp_path_factory.mktemp("bulk") / "agent.db"
    with MemoryStore(path, durability="process") as store:
        for start in range(0, 100_000, 20_000):
            numbers = range(start, start + 20_000)
            store.batch([PutOp(("bulk", str(n % 10)), f"k{n}", {"text": f"memory {n}"}, index=False) for n in numbers])
    return path


# The browser


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


# Not of the session: while Playwright's sync side is open, an event loop counts as running in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = chromium()
    if program is None:
        reason = "there is no chromium on this machine; .ci/test installs it where apt-get may be used"
        if os.environ.get("CROSSTHREAD_NEEDS_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium's own sandbox cannot be set up.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


class Site(NamedTuple):
    """A page in a browser, at an inspector that is served, and all that the browser did for it."""

    page: Any
    origin: str
    requests: list[str]
    troubles: list[str]
    """Dialogs, errors of scripts and violations of the policy."""

    def open(self, path: str) -> Any:
        return self.page.goto(f"{self.origin}{path}")


@pytest.fixture
def site(browser: Any, closing: ExitStack) -> Callable[..., Site]:
    """Open an inspector in the browser; what it does beside showing pages ends the test."""

    def opened(looked_at: Inspected | MemoryStore | Path, *, read_only: bool = False, **context: Any) -> Site:
        if isinstance(looked_at, Path):
            looked_at = open_inspected(looked_at, read_only=read_only)
            closing.callback(looked_at.close)
        elif isinstance(looked_at, MemoryStore):
            looked_at = Inspected(looked_at, read_only=read_only)
        address = closing.enter_context(serving(looked_at))
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}"
        window = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        closing.callback(window.close)
        window.set_default_timeout(15_000)
        page = window.new_page()
        requests: list[str] = []
        troubles: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: troubles.append(f"script: {error}"))

        def listen(said: Any) -> None:
            # That a page is a 404 is what some tests are about; for what pages load, see below.
            if said.type == "error" and not said.text.startswith("Failed to load resource"):
                troubles.append(f"console: {said.text}")

        def check(answer: Any) -> None:
            if answer.status >= 400 and answer.request.resource_type != "document":
                troubles.append(f"{answer.status} for {answer.url}")

        page.on("console", listen)
        page.on("response", check)

        def dismiss(dialog: Any) -> None:
            troubles.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", dismiss)
        found = Site(page, origin, requests, troubles)
        closing.callback(lambda: _check(found))
        page.goto(address)
        page.wait_for_url("**/items")
        return found

    return opened


def _check(site: Site) -> None:
    assert not site.troubles
    assert not [url for url in site.requests if not url.startswith(f"{site.origin}/")]
