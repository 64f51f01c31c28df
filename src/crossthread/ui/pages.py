"""How a page is made: templates, links, what a request asks for. Shared by all pages; reads and writes no memories."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import crossthread
from crossthread import namespaces
from crossthread._text import escape, unescape
from crossthread.errors import InvalidArgumentError
from crossthread.namespaces import Namespace
from crossthread.ui import shown
from crossthread.ui.inspected import Inspected
from crossthread.ui.security import Session

_LAST_PAGE = 10**9


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("crossthread.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        link=link,
        ns_text=ns_text,
        visible=shown.visible,
        plain=shown.plain,
        dotted=shown.dotted,
        exact=shown.exact,
        iso=lambda when: when.isoformat(),
        duration=shown.duration,
        counted=shown.counted,
        version=crossthread.__version__,
    )
    return environment


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page made of a template, with what all of them show."""
    return HTMLResponse(text(request, template, **context), status)


def text(request: Request, template: str, **context: Any) -> str:
    """Return the HTML of a template."""
    looked_at, session = inspected(request), _session(request)
    context.setdefault("section", "memories")
    return (
        _templates()
        .get_template(template)
        .render(
            place=looked_at.place,
            read_only=looked_at.read_only,
            has_threads=looked_at.threads is not None,
            secret=session.secret,
            ago=partial(shown.ago, now=datetime.now(UTC)),
            **context,
        )
    )


def framed(request: Request, template: str, namespace: Namespace = (), status: int = 200, **context: Any) -> Response:
    """Return a page beside the tree of namespaces, opened at one of them."""
    tree = inspected(request).tree()
    node = tree.find(namespace)
    return page(
        request,
        template,
        status,
        namespace=namespace,
        node=node,
        total=tree.root.total,
        all_namespaces=tree.root.namespaces,
        rows=tree.rows(namespace),
        done=_done(request),
        **context,
    )


def missing(request: Request, message: str, namespace: Namespace = (), status: int = 404) -> Response:
    """Return a page that says that there is no such thing."""
    return framed(request, "missing.html", namespace, status, message=message, title="Not there")


def inspected(request: Request) -> Inspected:
    """Return what the inspector looks at."""
    found: Inspected = request.app.state.inspected
    return found


def _session(request: Request) -> Session:
    found: Session = request.app.state.session
    return found


# Addresses


def link(path: str, /, **parameters: Any) -> str:
    """Return the address of a page; parameters that are None or empty are left out, except for keys."""
    given = {
        name: ns_text(value) if name == "ns" else escape(value) if name == "key" else str(value)
        for name, value in parameters.items()
        if name == "key" or value not in (None, "", ())
    }
    return f"{path}?{urlencode(given)}" if given else path


def ns_text(namespace: Namespace) -> str:
    """Return a namespace as it stands in addresses: ``memories.ada``."""
    return namespaces.to_text(namespace, empty_allowed=True)[:-1]


def asked_namespace(source: Any) -> Namespace:
    """Return the namespace that an address or a form names.

    Raises:
        InvalidNamespaceError: It names none that there could be.
    """
    given = source.get("ns", "")
    return namespaces.checked(namespaces.from_text(f"{given}.") if given else (), empty_allowed=True)


def asked_key(source: Any) -> str:
    """Return the key that an address or a form names."""
    return unescape(source.get("key", ""))


def asked_number(request: Request, name: str, default: int, most: int = _LAST_PAGE) -> int:
    """Return a number in an address.

    Raises:
        InvalidArgumentError: It is none, or out of range.
    """
    given = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or len(given) > 12 or int(given) > most:
        raise InvalidArgumentError(f"{name} in the address must be a number up to {most}, not {given[:50]!r}.")
    return int(given)


# After a change


def after(path: str, done: str, number: int = 1, **parameters: Any) -> Response:
    """Lead to a page that tells what was done."""
    return RedirectResponse(link(path, **parameters, done=done, n=number), 303)


_DONE = {
    "saved": "Saved.",
    "unchanged": "Nothing was changed.",
    "deleted": "Deleted one memory.",
    "forgotten": "Forgot {}.",
}


def _done(request: Request) -> str | None:
    told = _DONE.get(request.query_params.get("done", ""))
    if told is None:
        return None
    return told.format(shown.counted(asked_number(request, "n", 1), "memory", "memories"))
