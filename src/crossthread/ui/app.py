"""The inspector as an ASGI application: its routes, its guard, and pages for what goes wrong."""

from __future__ import annotations

import logging

from langgraph.store.base import InvalidNamespaceError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crossthread.errors import CrossthreadError, InvalidArgumentError
from crossthread.ui import changes, conversations, memories, picture
from crossthread.ui.inspected import Inspected
from crossthread.ui.pages import link, page
from crossthread.ui.security import Guard, Session

logger = logging.getLogger("crossthread.ui")


def create_app(inspected: Inspected, session: Session, hosts: frozenset[str]) -> Starlette:
    """Return the application that shows a store.

    Args:
        inspected: What it shows.
        session: Who may use it.
        hosts: The values of ``Host`` that it answers to, such as ``127.0.0.1:8000``.
    """
    app = Starlette(
        routes=[
            Route("/", _home),
            Route("/items", memories.show_items),
            Route("/item", memories.show_item),
            Route("/item.json", memories.send_value),
            Route("/namespaces", memories.show_matches),
            Route("/branch", memories.show_branch),
            Route("/edit", changes.edit, methods=["GET", "POST"]),
            Route("/delete", changes.delete, methods=["GET", "POST"]),
            Route("/forget", changes.forget, methods=["GET", "POST"]),
            Route("/picture", picture.show_picture),
            Route("/threads", conversations.show_threads),
            Route("/thread", conversations.show_thread),
            Route("/keys", _keys),
            Mount("/static", StaticFiles(packages=[("crossthread.ui", "static")])),
        ],
        middleware=[Middleware(Guard, session=session, hosts=hosts, read_only=inspected.read_only)],
        exception_handlers={
            404: _unknown,
            CrossthreadError: _failed,
            InvalidNamespaceError: _failed,
        },
    )
    app.state.inspected = inspected
    app.state.session = session
    return app


def _home(request: Request) -> Response:
    return RedirectResponse(link("/items"), 303)


def _keys(request: Request) -> Response:
    return page(request, "keys.html", section="keys", title="Keyboard")


def _unknown(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/static/"):  # which strangers may ask for, so it tells nothing of the store
        return PlainTextResponse("There is no such file.\n", 404)
    return page(request, "error.html", 404, section="", title="Not there", message="There is no such page.")


def _failed(request: Request, error: Exception) -> Response:
    is_theirs = isinstance(error, (InvalidArgumentError, InvalidNamespaceError))
    if not is_theirs:
        logger.warning("The inspector could not show %s: %s", request.url.path, type(error).__name__)
    return page(
        request, "error.html", 400 if is_theirs else 503, section="", title="That did not work", message=str(error)
    )
