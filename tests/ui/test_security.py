"""Who may use the inspector: the token, the host, other sites, writes, the policy of its pages."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html.parser import HTMLParser
from importlib.resources import files
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from crossthread import ConfigurationError, MemoryStore, StoreUnavailableError
from crossthread.testing import HashEmbeddings
from crossthread.ui import serve
from crossthread.ui.inspected import Inspected
from crossthread.ui.security import POLICY
from crossthread.ui.server import serving

ORIGIN = "http://127.0.0.1:8765"

ADA = ("memories", "ada")
PAGES = ["/", "/items", "/item?ns=a&key=k", "/item.json?ns=a&key=k", "/namespaces", "/branch", "/picture", "/threads"]
PAGES += ["/thread?id=1", "/keys", "/edit?ns=a&key=k", "/delete?ns=a&key=k", "/forget?ns=a", "/nowhere"]


@pytest.fixture
def food(store):
    store.put(ADA, "food", {"text": "likes pizza"})
    return store


def test_the_token_opens_one_session_and_is_useless_then(food, stranger):
    client = stranger(food)
    assert client.get("/items").status_code == 401
    first = client.get(f"/enter?token={client.session.token}")
    assert first.status_code == 200
    cookie = first.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert client.session.token not in cookie
    assert client.get("/items").status_code == 200
    client.http.cookies.clear()
    assert client.get(f"/enter?token={client.session.token}").status_code == 401
    assert client.get("/items").status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", "é", "a" * 10_000, "%00", "%ff"])
def test_a_wrong_token_opens_nothing_and_spoils_nothing(food, stranger, token):
    client = stranger(food)
    assert client.get(f"/enter?token={token}").status_code == 401
    assert client.get(f"/enter?token={client.session.token}").status_code == 200


def test_a_prefetch_does_not_use_up_the_token(food, stranger):
    client = stranger(food)
    address = f"/enter?token={client.session.token}"
    assert client.get(address, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 401
    assert client.http.head(address).status_code == 401
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("other", ['other={"dark": true}', "other=a b", "a[0]=1", "=x", "other", '"', "é=1"])
def test_cookies_of_other_servers_of_this_machine_are_in_nobodys_way(food, visitor, other):
    client = visitor(food)
    mine = f"crossthread_8765={client.http.cookies['crossthread_8765']}"
    client.http.cookies.clear()
    for cookies in (f"{other}; {mine}", f"{mine}; {other}", f"{other}; {mine}; {other}"):
        assert client.get("/items", headers={"Cookie": cookies.encode()}).status_code == 200, cookies
    assert client.get("/items", headers={"Cookie": f"{other}; {mine}x".encode()}).status_code == 401


@pytest.mark.parametrize("path", PAGES)
def test_without_the_session_no_page_tells_anything(food, stranger, path):
    client = stranger(food)
    for cookie in ({}, {"crossthread_8765": "guess"}, {"crossthread_8765": ""}, {"crossthread_8765": '"\\"'}):
        client.http.cookies.clear()
        client.http.cookies.update(cookie)
        answer = client.get(path)
        assert answer.status_code == 401
        assert "pizza" not in answer.text
        assert "ada" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:8765.evil.example",
        "0.0.0.0:8765",
        "",
    ],
)
def test_a_foreign_name_that_points_here_is_refused(food, visitor, host):
    client = visitor(food)
    for path in ("/items", "/static/inspector.css", "/enter?token=x"):
        assert client.get(path, headers={"Host": host}).status_code == 421
    assert client.http.post("/delete", headers={"Host": host}).status_code == 421


def test_localhost_is_a_name_of_this_machine(food, visitor):
    assert visitor(food).get("/items", headers={"Host": "localhost:8765", "Cookie": "x"}).status_code == 401


WRITES = {
    "/edit": {"ns": "memories.ada", "key": "food", "value": '{"text": "likes tea"}'},
    "/delete": {"ns": "memories.ada", "key": "food"},
    "/forget": {"ns": "memories"},
}


def written(store, path):
    """The fields of a request that writes, as its page has them."""
    seen = store.get(ADA, "food").updated_at.isoformat()
    return {"seen": f"1 {seen}" if path == "/forget" else seen, **WRITES[path]}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_another_site_cannot_write_whatever_it_knows(food, visitor, path, headers):
    client = visitor(food)
    fields = {**written(food, path), "secret": client.session.secret}
    assert client.http.post(path, data=fields, headers=headers).status_code == 403
    assert food.get(ADA, "food").value == {"text": "likes pizza"}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("secret", [None, "", "wrong", "é"])
def test_a_write_needs_the_secret_of_the_session(food, visitor, path, secret):
    client = visitor(food)
    fields = written(food, path) | ({} if secret is None else {"secret": secret})
    assert client.http.post(path, data=fields, headers={"Origin": ORIGIN}).status_code == 403
    assert food.get(ADA, "food").value == {"text": "likes pizza"}


@pytest.mark.parametrize("path", WRITES)
def test_a_write_needs_the_session(food, stranger, path):
    client = stranger(food)
    assert client.post(path, **written(food, path)).status_code == 401
    assert food.get(ADA, "food").value == {"text": "likes pizza"}


@pytest.mark.parametrize("path", WRITES)
def test_a_write_is_done_with_all_of_it(food, visitor, path):
    """The control of the tests above: what they send would write."""
    assert visitor(food).post(path, **written(food, path)).status_code == 303
    item = food.get(ADA, "food")
    assert item is None or item.value == {"text": "likes tea"}


@pytest.mark.parametrize("path", WRITES)
def test_read_only_refuses_every_write_and_shows_no_button(food, visitor, path):
    client = visitor(food, read_only=True)
    assert client.post(path, **written(food, path)).status_code == 403
    assert food.get(ADA, "food").value == {"text": "likes pizza"}
    assert client.get(path, params={"ns": "memories.ada", "key": "food"}).status_code == 403
    shown = client.get("/items?ns=memories.ada").text + client.get("/item?ns=memories.ada&key=food").text
    assert "read-only" in shown
    assert not re.search(r'href="/(edit|delete|forget)', shown)
    assert 'method="post"' not in shown


@pytest.mark.parametrize("path", WRITES)
def test_a_get_never_writes(food, visitor, path):
    client = visitor(food)
    client.get(path, params=written(food, path) | {"secret": client.session.secret})
    assert food.get(ADA, "food").value == {"text": "likes pizza"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "WHATEVER"])
def test_other_methods_are_refused(food, visitor, method):
    assert visitor(food).http.request(method, "/items").status_code == 405


def test_a_form_that_is_none_is_refused(food, visitor):
    client = visitor(food)
    for body in (b"\xff\xfe", b"&".join(b"a=1" for _ in range(1000)), b"x" * (64 * 2**20 + 1)):
        assert client.http.post("/delete", content=body, headers={"Origin": ORIGIN}).status_code in (400, 403, 413)
    assert food.count() == 1


@pytest.mark.parametrize("path", [*PAGES, "/static/inspector.css", "/static/inspector.js", "/static/%2e%2e/app.py"])
def test_every_answer_carries_the_policy(food, visitor, stranger, path):
    for client in (visitor(food), stranger(food)):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


@pytest.mark.parametrize("path", ["/static/", "/static/none", "/static/%2e%2e/app.py", "/static/..%2f..%2fstore.py"])
def test_static_files_are_those_of_the_page_and_tell_nothing(food, stranger, path):
    answer = stranger(food, place="/home/ada/secret.db").get(path)
    assert answer.status_code in (401, 404)
    assert "secret" not in answer.text
    assert "import" not in answer.text


def test_the_policy_allows_files_of_this_server_and_nothing_inline():
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("base-uri") == rules.pop("frame-ancestors") == "'none'"
    assert set(rules.values()) == {"'self'"}


class Inline(HTMLParser):
    """Finds what a page must not have: scripts and styles in it, handlers, addresses elsewhere."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if (tag == "script" and "src" not in given) or tag in ("style", "base", "iframe", "object", "embed"):
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style" or "javascript:" in (value or "").lower():
                self.found.append(f"{tag} {name}")
            elif name in ("src", "href", "action") and not (value or "").startswith(("/", "#", "{{")):
                self.found.append(f"{tag} {name}={value}")


def shipped(kind):
    folder = files("crossthread.ui") / kind
    return [file for file in folder.iterdir() if file.is_file()]


@pytest.mark.parametrize("template", shipped("templates"), ids=lambda file: file.name)
def test_no_template_has_anything_inline_or_from_elsewhere(template):
    text = template.read_text("utf-8")
    assert Inline(text).found == []
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize("file", shipped("static"), ids=lambda file: file.name)
def test_no_static_file_names_another_server(file):
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[\w.-]+\.\w|@import|url\(|\beval\b|new Function|innerHTML", text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "", "127.0.0.1.evil.example"])
def test_it_listens_to_this_machine_only(tmp_path, host):
    MemoryStore(tmp_path / "agent.db").close()
    with pytest.raises(ConfigurationError, match="this machine only"):
        serve(tmp_path / "agent.db", host=host, open_browser=False)


def test_what_is_not_there_is_not_created(tmp_path):
    with pytest.raises(StoreUnavailableError, match="There is no file"):
        serve(tmp_path / "typo.db", open_browser=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match="memory of a process"):
        serve(":memory:", open_browser=False)


def test_it_is_served_with_a_token_in_the_address(food):
    import httpx

    from crossthread.ui.inspected import Inspected

    with serving(Inspected(food)) as address, httpx.Client() as http:
        origin = address.split("/enter")[0]
        assert origin.startswith("http://127.0.0.1:")
        assert http.get(f"{origin}/items").status_code == 401
        assert http.get(address).status_code == 200
        assert "likes pizza" in http.get(f"{origin}/items").text
        assert "server" not in http.get(f"{origin}/items").headers


class Waiting(HashEmbeddings):
    """A model that answers when it is told to, as one over a network may."""

    def __init__(self):
        super().__init__()
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def embed_query(self, text):
        self.asked.set()
        assert self.may_answer.wait(25)
        return super().embed_query(text)


def test_a_search_under_way_at_the_end_gets_an_answer_and_leaves_no_traceback(caplog):
    model = Waiting()
    with MemoryStore(index={"embed": model}) as store:
        store.put(ADA, "food", {"text": "likes pizza"})
        with ExitStack() as serves, ThreadPoolExecutor() as threads:
            address = serves.enter_context(serving(Inspected(store)))
            with urlopen(address) as entered:
                cookie = entered.headers["Set-Cookie"].partition(";")[0]
            origin = address.partition("/enter")[0]

            def searched():
                try:
                    urlopen(Request(f"{origin}/items?q=pizza", headers={"Cookie": cookie}))
                except HTTPError as error:
                    with error:
                        return error.status, error.read().decode()
                finally:
                    model.may_answer.set()

            answer = threads.submit(searched)
            assert model.asked.wait(25)
            serves.close()
            assert answer.result() == (503, "The inspector has ended.\n")
    assert [record for record in caplog.records if record.exc_info] == []
