"""Who may use the inspector: an ASGI middleware around all of it. Knows HTTP; knows nothing of memories.

Any page in the user's browser can send requests to a port of this machine, and any program of any user on it can
connect. So: one address with a token, which opens one session and is useless then; a cookie that no script reads and no
other site's request carries; a ``Host`` that is ours, so that no foreign name can be made to point here (DNS
rebinding); for writes our ``Origin`` and a secret in the form; and a policy under which a page can load and run what
this server sends as files, and nothing else. Everything is checked here, so that no page can forget to.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import threading
from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("crossthread.ui")

MAX_BODY_BYTES = 64 * 2**20
_MAX_FIELDS = 50

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

# Browsers ask for /favicon.ico where a page names no icon.
_ICON = '<link rel="icon" href="/static/icon.svg">'

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer, with which browsers would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Session:
    """The one session of an inspector: opened once, by whoever has the token first.

    Attributes:
        token: What stands in the address that the user is given.
        secret: What every form of this session carries.
        cookie: The cookie's name, which holds the port: browsers tell hosts apart, not ports.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.secret = secrets.token_urlsafe(32)
        self.cookie = f"crossthread_{port}"
        self._id: str | None = None
        self._lock = threading.Lock()

    def begin(self, token: str) -> str | None:
        """Return the id of the session that a token opens; None if it is wrong, or was used."""
        with self._lock:
            if self._id is not None or not _same(token, self.token):
                return None
            self._id = secrets.token_urlsafe(32)
            return self._id

    def is_of(self, cookies: Iterable[str]) -> bool:
        """Whether a request with these ``Cookie`` headers belongs to the session."""
        if self._id is None:
            return False
        for header in cookies:
            # As browsers write them: `http.cookies` takes none of them where one that another server of this machine
            # has set, on whatever port, is not as it should be.
            found = cookie_parser(header).get(self.cookie)
            if found is not None and _same(found, self._id):
                return True
        return False


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


class Guard:
    """Lets through what may be let through, and gives every answer its headers.

    A request that writes reaches the application with its form in ``request.state.form``, a dict of texts.

    Args:
        app: The application.
        session: Its session.
        hosts: The values of ``Host`` that it answers to.
        read_only: Whether every write is refused.
    """

    def __init__(self, app: ASGIApp, *, session: Session, hosts: frozenset[str], read_only: bool) -> None:
        self._app = app
        self._session = session
        self._hosts = hosts
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                # Static files carry an ETag; pages hold personal data, which no cache should keep.
                headers["Cache-Control"] = "no-cache" if scope["path"].startswith("/static/") else "no-store"
            await send(message)

        refusal = await self._refusal(scope, receive)
        try:
            await (refusal or self._app)(scope, receive, send_guarded)
        except asyncio.CancelledError:  # Ctrl-C, and something such as a model took too long; its thread goes on
            if not started:
                ended = PlainTextResponse("The inspector has ended.\n", 503)
                await ended(scope, receive, send_guarded)
        except Exception as error:
            if started:
                raise
            # Caught here, where the answer still gets its headers. The error's own text may be what a memory holds.
            logger.error("The inspector failed at %s: %s", scope["path"], type(error).__name__)
            logger.debug("What failed", exc_info=True)
            failed = PlainTextResponse(
                f"The inspector failed: {type(error).__name__}. The page before still works.\n", 500
            )
            await failed(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return PlainTextResponse(f"This inspector answers at http://{min(self._hosts)} only.\n", 421)
        if method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Pages are read with GET and changed with POST.\n", 405)
        if method != "POST":
            if path.startswith("/static/"):
                return None
            if path == "/enter" and method == "GET" and "prefetch" not in headers.get("sec-purpose", ""):
                return self._enter(QueryParams(scope["query_string"]).get("token", ""))
            return None if self._session.is_of(headers.getlist("cookie")) else _strange()
        if not self._is_own_page(headers):
            return PlainTextResponse("This request comes from another site.\n", 403)
        if not self._session.is_of(headers.getlist("cookie")):
            return _strange()
        if self._read_only:
            return PlainTextResponse("This inspector was started with --read-only: it changes nothing.\n", 403)
        return await self._form_refusal(scope, receive)

    def _is_own_page(self, headers: Headers) -> bool:
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        return headers.get("origin", f"http://{headers['host']}") == f"http://{headers['host']}"

    async def _form_refusal(self, scope: Scope, receive: Receive) -> Response | None:
        """Read the form, and refuse it unless it is one of ours."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return PlainTextResponse("", 400)
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse(f"A form of more than {MAX_BODY_BYTES // 2**20} MiB is not taken.\n", 413)
            more = message.get("more_body", False)
        try:
            fields = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
        except ValueError:
            return PlainTextResponse("This is not a form of the inspector.\n", 400)
        if not _same(fields.pop("secret", ""), self._session.secret):
            return PlainTextResponse("This form is not of this session; open the page again.\n", 403)
        scope.setdefault("state", {})["form"] = fields
        return None

    def _enter(self, token: str) -> Response:
        session_id = self._session.begin(token)
        if session_id is None:
            return _strange()
        # A page that goes on by itself, and not a redirect: where the address was followed from another site, such as
        # a terminal in a browser, a redirect would count as that site's request and come without the cookie.
        response = HTMLResponse(
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
            f'{_ICON}<title>crossthread</title><p><a href="/">Open the inspector</a></p></html>'
        )
        response.set_cookie(self._session.cookie, session_id, httponly=True, samesite="strict", path="/")
        return response


def _strange() -> Response:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'{_ICON}<title>crossthread</title><link rel="stylesheet" href="/static/inspector.css"><main class="alone">'
        "<h1>Open it with the address that was printed</h1><p>The inspector shows personal data, so it opens once for "
        "each start, with the address that <code>crossthread ui</code> printed. If that was used, stop it with Ctrl-C "
        "and start it again.</p></main></html>",
        401,
    )
