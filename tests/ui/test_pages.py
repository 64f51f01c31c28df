"""What the inspector's pages show and do, without a browser."""

import json
import re
from html import unescape

import pytest

from crossthread import Memory, MemoryStore
from crossthread.engines.memory import MemoryEngine
from crossthread.testing import HashEmbeddings, ManualClock
from crossthread.ui.inspected import open_inspected

ADA = ("memories", "ada")
INDEX = {"embed": HashEmbeddings(), "mode": "hybrid", "fields": ["text"], "model": "hash"}


def texts(page):
    """The main texts of a page's list, in order."""
    return [re.sub(r"<[^>]+>", "", text) for text in re.findall(r'<a class="said"[^>]*>(.*?)</a>', page, re.DOTALL)]


# Namespaces and items


def test_the_tree_counts_what_is_at_and_below_each_namespace(store, visitor):
    store.put(ADA, "1", {"text": "one"})
    store.put((*ADA, "work"), "2", {"text": "two"})
    store.put(("memories", "bob"), "3", {"text": "three"})
    page = visitor(store).get("/items?ns=memories").text
    counts = dict(re.findall(r'<span class="label"><bdi>(.*?)</bdi></span><span class="count">(.*?)</span>', page))
    assert counts == {"memories": "3", "ada": "2", "bob": "1"}
    assert "3 memories in 3 namespaces" in page


def test_a_namespace_lists_its_items_the_newest_first_in_pages(store, visitor):
    for number in range(120):
        store.put(ADA, str(number), {"text": f"memory {number}"})
    client = visitor(store)
    seen = []
    for page in (1, 2, 3):
        seen += texts(client.get(f"/items?ns=memories.ada&page={page}").text)
    assert seen == [f"memory {number}" for number in range(119, -1, -1)]
    assert "51\u2013100 of 120" in client.get("/items?ns=memories.ada&page=2").text
    assert "There is no page 4" in client.get("/items?ns=memories.ada&page=4").text
    for wrong in ("x", "-1", "1e9", "9" * 30, "²"):
        assert client.get(f"/items?page={wrong}").status_code == 400


def test_ten_thousand_namespaces_are_shown_some_at_a_time(closing, visitor):
    store = closing.enter_context(MemoryStore())
    with_puts = [(("users", f"u{number:05}"), "k", {"text": "x"}) for number in range(10_000)]
    from langgraph.store.base import PutOp

    store.batch([PutOp(*put) for put in with_puts])
    client = visitor(store)
    page = client.get("/items?ns=users.u09999")
    assert len(page.content) < 150_000
    assert page.text.count('<div class="row">') == 202  # users, its first 200, and where the page is
    assert "(9,800 left)" in page.text
    more = client.get("/branch?ns=users&offset=9800").text
    assert more.count('<div class="row">') == 200
    assert "left)" not in more
    found = client.get("/namespaces?find=U0123").text
    assert found.count("users.u0123") == 20  # ten, each with its address
    assert "10 names with" in found


def test_a_hundred_thousand_items_are_paged_on_the_server(bulk, visitor):
    client = visitor(bulk)
    for address, first in (("/items", "memory 99999"), ("/items?page=1500", "memory 25049")):
        page = client.get(address)
        assert texts(page.text)[0] == first
        assert len(texts(page.text)) == 50
        assert len(page.content) < 60_000
    assert "100,000 memories in 10 namespaces" in page.text


def test_reading_renews_no_life(closing, visitor):
    clock = ManualClock()
    store = closing.enter_context(MemoryStore(index=INDEX, ttl={"refresh_on_read": True}, clock=clock))
    store.put(ADA, "k", {"text": "likes pizza"}, ttl=10)
    expires = store.record(ADA, "k").expires_at
    client = visitor(store)
    clock.advance(minutes=5)
    for path in (
        "/items",
        "/items?q=pizza",
        "/items?filter={}",
        "/item?ns=memories.ada&key=k",
        "/item.json?ns=memories.ada&key=k",
        "/picture",
        "/edit?ns=memories.ada&key=k",
        "/delete?ns=memories.ada&key=k",
        "/forget?ns=memories",
    ):
        assert client.get(path).status_code == 200
    assert store.record(ADA, "k").expires_at == expires


def test_an_item_says_when_it_expires_and_how_it_is_found(store, visitor):
    store.put(ADA, "k", {"text": "likes pizza"}, ttl=60 * 24 * 3 + 1)
    store.put(ADA, "for ever", {"text": "likes tea"}, index=False)
    client = visitor(store)
    page = client.get("/item?ns=memories.ada&key=k").text
    assert "in 3 days" in page
    assert "3 days after it was written" in page
    assert "meaning and words" in page
    assert "1 vector" in page
    listed = client.get("/items?ns=memories.ada").text
    assert listed.count("expires in 3 days") == 1
    page = client.get("/item?ns=memories.ada&key=for+ever").text
    assert "never" in page
    assert "its fields only" in page


def test_keys_and_labels_of_any_characters_have_a_page(store, visitor):
    client = visitor(store)
    for key in ("", " ", "a/b?c=d&e#f", "\x00", "\ud800", "\x1a0000", "ключ", '"><b>', "../../etc", "a\nb\r\nc\rd"):
        store.put(("a b", "c&d=e", "%2E", "é"), key, {"text": "here"})
        page = client.get("/items?ns=a+b").text
        address = unescape(re.search(r'class="said" href="([^"]+)"', page)[1])
        assert client.get(address).status_code == 200
        answer = client.post_form("/delete", client.get(address.replace("/item", "/delete")).text)
        assert answer.status_code == 303, key
        assert store.count() == 0


class Reticent(MemoryEngine):
    """An engine of another package, which tells no more than it must."""

    keeps_records = False


def test_an_engine_that_tells_no_records_is_shown_and_not_edited(closing, visitor):
    store = closing.enter_context(MemoryStore(Reticent(), index={"fields": ["text"]}))
    store.put(ADA, "k", {"text": "likes pizza"}, ttl=60)
    store.put((*ADA, "work"), "k", {"text": "writes Python"})
    store.put((*ADA, "work", "team"), "k", {"text": "leads"})
    client = visitor(store)
    page = client.get("/items?ns=memories.ada.work").text
    counts = dict(re.findall(r'<span class="label"><bdi>(.*?)</bdi></span><span class="count">(.*?)</span>', page))
    assert counts == {"memories": "3", "ada": "3", "work": "2", "team": "1"}
    assert texts(client.get("/items?q=pizza").text) == ["likes pizza"]
    page = client.get("/item?ns=memories.ada&key=k").text
    assert "likes pizza" in page
    assert "does not tell when it expires" in page
    assert "Reticent does not tell" in client.get("/edit?ns=memories.ada&key=k").text
    assert "Reticent does not tell" in client.get("/picture").text
    assert client.post_form("/delete", client.get("/delete?ns=memories.ada&key=k").text).status_code == 303
    assert store.count() == 2


# Searching


def test_a_search_shows_the_parts_of_each_score(store, visitor):
    store.put(ADA, "1", {"text": "likes pizza with olives"})
    store.put(ADA, "2", {"text": "likes tea"})
    client = visitor(store)
    for mode, parts in (
        ("hybrid", ["together", "meaning", "words"]),
        ("semantic", ["meaning"]),
        ("keyword", ["words"]),
    ):
        page = client.get(f"/items?ns=memories&q=pizza&mode={mode}").text
        assert texts(page)[0] == "likes pizza with olives"
        card = page[page.index('<li class="card">') :].split("</li>")[0]
        assert re.findall(r"<dt>(\w+)</dt><dd><svg", card) == parts
        hit = store.search(ADA, query="pizza", mode=mode, explain=True)[0]
        assert f"{hit.score:.3f}" in card
        widths = [float(width) for width in re.findall(r'class="fill \w+" width="([\d.]+)"', card)]
        assert all(0 < width <= 100 for width in widths)
        assert (">pizza<" in card.replace("<bdi>", ">").replace("</bdi>", "<")) == (mode != "semantic")


def test_a_filter_is_json_and_says_what_is_wrong_with_it(store, visitor):
    store.put(ADA, "1", {"text": "likes pizza", "stars": 5})
    store.put(ADA, "2", {"text": "likes tea", "stars": 2})
    client = visitor(store)
    assert texts(client.get("/items", params={"filter": '{"stars": {"$gte": 4}}'}).text) == ["likes pizza"]
    found = client.get("/items", params={"q": "likes", "filter": '{"stars": 2}'}).text
    assert texts(found) == ["likes tea"]
    for wrong, told in (
        ("{stars: 5}", "not JSON"),
        ("[1]", "JSON object"),
        ('{"stars": {"$near": 5}}', "$near"),
        ("[" * 10_000, "not JSON"),
    ):
        answer = client.get("/items", params={"filter": wrong})
        assert answer.status_code == 400
        assert told in unescape(answer.text)
    assert "Nothing found" in client.get("/items", params={"filter": '{"stars": 9}'}).text
    assert client.get("/items?q=x&mode=nonsense").status_code == 400


def test_a_store_is_searched_as_it_was_made_to_be(tmp_path, visitor):
    path = tmp_path / "german.db"
    with MemoryStore(path, index={"language": "german", "fields": ["text"]}) as store:
        store.put(ADA, "1", {"text": "mag Häuser"})
    page = visitor(path).get("/items?q=Haus").text
    assert texts(page) == ["mag Häuser"]
    assert ">words</option>" in page
    assert ">meaning</option>" not in page
    with MemoryStore(tmp_path / "plain.db") as store:
        store.put(ADA, "1", {"text": "likes pizza"})
    page = visitor(tmp_path / "plain.db").get("/items").text
    assert 'name="q"' not in page
    assert "Nothing is indexed here" in page
    with MemoryStore(tmp_path / "local.db", index={"embed": "local"}) as store:
        store.put(ADA, "1", {"text": "likes pizza"})
    assert ">meaning</option>" in visitor(tmp_path / "local.db").get("/items").text


class Failing(HashEmbeddings):
    """A model whose server is away."""

    away = False

    def embed_query(self, text):
        if self.away:
            raise OSError("no route to <b>host</b>")
        return super().embed_query(text)

    def embed_documents(self, texts):
        if self.away:
            raise OSError("no route to <b>host</b>")
        return super().embed_documents(texts)


def test_a_model_that_fails_is_told_and_the_rest_goes_on(closing, visitor):
    embeddings = Failing()
    store = closing.enter_context(MemoryStore(index={"embed": embeddings, "mode": "hybrid", "fields": ["text"]}))
    store.put(ADA, "k", {"text": "likes pizza"})
    client = visitor(store)
    embeddings.away = True
    answer = client.get("/items?q=pizza")
    assert answer.status_code == 400
    assert "OSError: no route to &lt;b&gt;host" in answer.text
    assert texts(client.get("/items?q=pizza&mode=keyword").text) == ["likes pizza"]
    answer = edited(client, '{"text": "likes tea"}')
    assert answer.status_code == 502
    assert "Nothing was written. OSError" in answer.text
    assert store.get(ADA, "k").value == {"text": "likes pizza"}
    embeddings.away = False
    assert edited(client, '{"text": "likes tea"}', answer.text).status_code == 303


def test_a_store_that_fails_is_told_in_a_page(tmp_path, visitor, caplog):
    with MemoryStore(tmp_path / "agent.db") as store:
        store.put(ADA, "secret key", {"text": "x"})
    looked_at = open_inspected(tmp_path / "agent.db")
    client = visitor(looked_at)
    looked_at.close()
    answer = client.get("/item?ns=memories.ada&key=secret+key")
    assert answer.status_code == 503
    assert "closed" in answer.text
    assert "StoreClosedError" in caplog.text
    assert "secret" not in caplog.text


def test_a_bug_ends_in_an_answer_with_all_headers(store, visitor, monkeypatch, caplog):
    client = visitor(store)
    monkeypatch.setattr(store, "stats", lambda *_: {}["personal"])
    answer = client.get("/items")
    assert answer.status_code == 500
    assert "KeyError" in answer.text
    assert "content-security-policy" in answer.headers
    assert "personal" not in answer.text + caplog.text


# Editing


def edit_page(client, key="k"):
    return client.get(f"/edit?ns=memories.ada&key={key}").text


def edited(client, value, page=None, **changed):
    return client.post_form("/edit", page or edit_page(client), value=value, **changed)


def test_an_edit_keeps_the_ttl_and_what_the_item_is_found_by(tmp_path, visitor):
    path = tmp_path / "agent.db"
    value = {"text": "likes pizza", "title": "food", "note": "secret"}
    with MemoryStore(path, index=INDEX) as store:
        store.put(ADA, "own paths", value, index=["title"], ttl=90)
        store.put(ADA, "usual", value)
        store.put(ADA, "hidden", value, index=False)
        created = store.get(ADA, "usual").created_at
    # Opened with other fields than it was written with: what an item is found by is its own matter.
    client = visitor(path, index={**INDEX, "fields": ["note"]})
    for key in ("own paths", "usual", "hidden"):
        new = {"text": "likes sushi", "title": "meals", "note": "hidden"}
        assert edited(client, json.dumps(new), edit_page(client, key)).status_code == 303
    with MemoryStore(path, index=INDEX) as store:
        assert store.record(ADA, "own paths").ttl == 90
        assert store.record(ADA, "usual").ttl is None
        assert store.get(ADA, "usual").created_at == created
        for word, key in (("meals", "own paths"), ("sushi", "usual")):
            for mode in ("keyword", "semantic"):
                assert store.search(ADA, query=word, mode=mode, limit=1)[0].key == key
        assert not store.search(ADA, query="hidden", mode="keyword")
        assert len(store.search(ADA, query="anything", mode="semantic")) == 2
        assert store.verify()


def test_an_edit_that_would_lose_vectors_is_refused(tmp_path, visitor):
    path = tmp_path / "agent.db"
    with MemoryStore(path, index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        store.put(ADA, "hidden", {"text": "likes tea"}, index=False)
    client = visitor(path)
    assert ">meaning</option>" not in client.get("/items").text
    page = client.get("/edit?ns=memories.ada&key=k")
    assert page.status_code == 409
    assert "the model 'hash'" in unescape(page.text)
    assert "<textarea" not in page.text
    seen = open_inspected(path).store.get(ADA, "k").updated_at.isoformat()
    answer = client.post("/edit", ns="memories.ada", key="k", seen=seen, value='{"text": "likes tea"}')
    assert answer.status_code == 409
    assert edited(client, '{"text": "likes cake"}', edit_page(client, "hidden")).status_code == 303
    with MemoryStore(path, index=INDEX) as store:
        assert store.search(ADA, query="pizza", mode="semantic")[0].value == {"text": "likes pizza"}
        assert store.get(ADA, "hidden").value == {"text": "likes cake"}


def test_an_edit_of_what_was_written_meanwhile_is_refused(store, visitor):
    store.put(ADA, "k", {"text": "likes pizza"})
    client = visitor(store)
    page = edit_page(client)
    store.put(ADA, "k", {"text": "likes sushi"})
    answer = edited(client, '{"text": "likes tea"}', page)
    assert answer.status_code == 409
    assert store.get(ADA, "k").value == {"text": "likes sushi"}
    assert "Somebody else wrote this memory meanwhile" in answer.text
    assert "likes sushi" in answer.text
    assert "likes tea" in answer.text
    assert edited(client, '{"text": "likes tea"}', answer.text).status_code == 303  # now it is meant
    assert store.get(ADA, "k").value == {"text": "likes tea"}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "Line 1, column 1"),
        ('{"text": "a" 1}', "Line 1, column 14"),
        ('{\n"text": yes}', "Line 2, column 9"),
        ('["a"]', "JSON object"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 123456789012345678901234567890}', "64 bits"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": ' * 300 + "1" + "}" * 300, "200 levels"),
        ("[" * 100_000, "levels"),
    ],
)
def test_an_edit_that_is_no_value_says_what_is_wrong(store, visitor, written, told):
    store.put(ADA, "k", {"text": "likes pizza"})
    answer = edited(visitor(store), written)
    assert answer.status_code == 400
    assert told in unescape(answer.text)
    assert store.get(ADA, "k").value == {"text": "likes pizza"}


@pytest.mark.parametrize(
    "value",
    [
        {
            "text": "a\nb\tc\r\u2028 \u202e\u200b\U000e0041 \u0085 </textarea><script>",
            "n": 2**63 - 1,
            "f": 1e300,
            "0": -0.5,
        },
        {"text": "\nbegins with a line", "": {"": [[], {}, None, True]}},
    ],
)
def test_an_edit_that_changes_nothing_keeps_every_character(store, visitor, value):
    store.put(ADA, "k", value)
    before = store.record(ADA, "k")
    client = visitor(store)
    page = edit_page(client)
    shown = unescape(re.search(r"<textarea[^>]*>\n(.*)</textarea>", page, re.DOTALL)[1])
    assert json.loads(shown) == value
    answer = edited(client, shown.replace("\n", "\r\n"), page)  # as browsers send lines
    assert "unchanged" in answer.headers["location"]
    assert store.record(ADA, "k").updated_at == before.updated_at
    changed = shown.replace("}", ', "more": 1}') if shown.count("}") == 1 else shown[:-2] + ', "more": 1}'
    assert edited(client, changed, page).status_code == 303
    assert store.get(ADA, "k").value == {**value, "more": 1}


@pytest.mark.parametrize(("before", "after"), [("1", "true"), ("true", "1"), ("0", "false"), ("1", "1.0")])
def test_an_edit_from_a_number_to_what_python_calls_equal_is_an_edit(store, visitor, before, after):
    store.put(ADA, "k", {"n": json.loads(before)})
    assert "saved" in edited(visitor(store), f'{{"n": {after}}}').headers["location"]
    assert json.dumps(store.get(ADA, "k").value) == f'{{"n": {after}}}'


# Deleting and forgetting


def test_a_deletion_asks_and_names_what_goes(store, visitor):
    store.put(ADA, "k", {"text": "likes pizza"})
    client = visitor(store)
    page = client.get("/delete?ns=memories.ada&key=k").text
    assert "Delete this memory of memories.ada?" in page
    assert "likes pizza" in page
    assert "Delete 1 memory" in page
    assert store.count() == 1
    answer = client.post_form("/delete", page)
    assert answer.status_code == 303
    assert store.count() == 0
    assert "Deleted one memory." in client.get(answer.headers["location"]).text
    assert client.post_form("/delete", page).status_code == 404


def test_a_deletion_of_what_was_written_meanwhile_asks_again(store, visitor):
    store.put(ADA, "k", {"text": "likes pizza"})
    client = visitor(store)
    page = client.get("/delete?ns=memories.ada&key=k").text
    store.put(ADA, "k", {"text": "likes sushi"})
    answer = client.post_form("/delete", page)
    assert answer.status_code == 409
    assert "likes sushi" in answer.text
    assert store.count() == 1
    assert client.post_form("/delete", answer.text).status_code == 303
    assert store.count() == 0


def test_forgetting_asks_and_names_how_many(store, visitor):
    for number in range(3):
        store.put(ADA, str(number), {"text": f"{number}"})
    store.put((*ADA, "work"), "k", {"text": "x"})
    store.put(("memories", "adam"), "k", {"text": "y"})
    client = visitor(store)
    page = client.get("/forget?ns=memories.ada").text
    assert "Forget memories.ada: 4 memories in 2 namespaces?" in page
    assert "Forget 4 memories" in page
    store.put(ADA, "late", {"text": "z"})
    again = client.post_form("/forget", page)
    assert again.status_code == 409
    assert "Forget 5 memories" in again.text
    assert store.count() == 6
    answer = client.post_form("/forget", again.text)
    assert "Forgot 5 memories." in client.get(answer.headers["location"]).text
    assert [item.namespace for item in store.search(())] == [("memories", "adam")]


def test_forgetting_what_was_written_meanwhile_asks_again(store, visitor):
    store.put(ADA, "k", {"text": "likes pizza"})
    client = visitor(store)
    page = client.get("/forget?ns=memories.ada").text
    store.delete(ADA, "k")
    store.put(ADA, "other", {"text": "as many as before, and never shown"})
    answer = client.post_form("/forget", page)
    assert answer.status_code == 409
    assert "changed meanwhile" in answer.text
    assert store.count() == 1
    assert client.post_form("/forget", answer.text).status_code == 303
    assert store.count() == 0


def test_the_whole_store_cannot_be_forgotten_here(store, visitor):
    store.put(ADA, "k", {"text": "x"})
    client = visitor(store)
    assert client.get("/forget").status_code == 400
    assert client.post("/forget", ns="", seen="1").status_code == 400
    assert store.count() == 1


# The picture


def test_a_picture_has_a_point_for_each_memory_with_vectors(store, visitor):
    for number in range(30):
        store.put(ADA, f"food-{number}", {"text": f"likes dish {number}", "kind": "abc"[number % 3]})
    store.put(ADA, "hidden", {"text": "not indexed"}, index=False)
    page = visitor(store).get("/picture?ns=memories").text
    assert page.count("<circle cx=") == 30
    assert "1 memory has no vector" in page
    places = {(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', page)}
    assert len(places) == 30
    assert all(0 < x < 1000 and 0 < y < 560 for x, y in places)
    assert re.findall(r'<option value="(\w+)"', page) == ["kind", "key"]
    by_key = visitor(store).get("/picture?ns=memories&by=key").text
    assert "food" in by_key
    assert by_key.count('class="c0"') == 31


def test_texts_that_mean_the_same_lie_together(store, visitor):
    for number in range(10):
        store.put(ADA, f"a{number}", {"text": f"pizza olives cheese oven {number}"})
        store.put(ADA, f"b{number}", {"text": f"train station ticket window {number}"})
    page = visitor(store).get("/picture").text
    places = {text[0]: [] for text in ("pizza", "train")}
    for label, x in re.findall(r'aria-label="(pizza|train)[^"]*"[^>]*><circle cx="([\d.]+)"', page):
        places[label[0]].append(float(x))
    assert len(places["p"]) == len(places["t"]) == 10
    assert max(places["p"]) < min(places["t"]) or max(places["t"]) < min(places["p"])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_vectors_are_no_picture(store, visitor, number):
    for each in range(number):
        store.put(ADA, str(each), {"text": f"{each}"})
    page = visitor(store).get("/picture").text
    assert "Nothing to draw" in page
    assert "it takes 3" in page


def test_equal_vectors_and_one_dimension_can_be_drawn(closing, visitor):
    flat = closing.enter_context(MemoryStore(index={"embed": lambda texts: [[1.0] for _ in texts]}))
    for number in range(5):
        flat.put(ADA, str(number), {"text": f"{number}"})
    page = visitor(flat).get("/picture").text
    assert page.count('cx="500.0" cy="280.0"') == 5
    assert "nan" not in page.lower()


# Threads


@pytest.fixture
def talked(tmp_path):
    """A file with a workflow's and a graph's threads, and memories of one of the users."""
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.func import entrypoint
    from langgraph.graph import START, MessagesState, StateGraph

    path = tmp_path / "agent.db"
    with Memory(path) as memory:

        @memory.entrypoint
        def chat(text: str, *, previous, store, config):
            store.put(("memories", config["configurable"]["user_id"]), text[:5], {"text": f"said {text}"})
            return entrypoint.final(value=f"You said {text}", save=text)

        def turn(user, thread):
            return {"configurable": {"thread_id": thread, "user_id": user}}

        chat.invoke("<b>hello</b>", turn("ada", "monday"))
        chat.invoke("and more", turn("ada", "monday"))
        chat.invoke("hi", turn("bob", "tuesday"))
        graph = StateGraph(MessagesState)
        graph.add_node("answer", lambda state: {"messages": [AIMessage("Turing, of course")]})
        graph.add_edge(START, "answer")
        compiled = graph.compile(checkpointer=memory.checkpointer)
        compiled.invoke({"messages": [HumanMessage("my cat?")]}, turn("eve@example.com", "graph"))
        memory.store.put(("memories", "eve@example%2Ecom"), "cat", {"text": "has a cat called Turing"})
    return path


def test_threads_are_listed_with_whose_they_are(talked, visitor):
    client = visitor(talked)
    page = client.get("/threads").text
    assert texts(page) == ["graph", "tuesday", "monday"]
    assert texts(client.get("/threads", params={"filter": '{"user_id": "ada"}'}).text) == ["monday"]
    assert client.get("/threads", params={"filter": '{"user_id": [1]}'}).status_code == 400


def test_a_thread_shows_what_was_said_beside_its_users_memories(talked, visitor):
    client = visitor(talked)
    page = unescape(re.sub(r"</?bdi>", "", client.get("/thread?id=monday").text))
    said = re.findall(r'<p class="words">(.*?)</p>', page)
    assert said == ["<b>hello</b>", "You said <b>hello</b>", "and more", "You said and more"]
    assert texts(page) == ["said and more", "said hello"] or "said and more" in texts(page)
    assert "said hi" not in page
    page = re.sub(r"</?bdi>", "", client.get("/thread?id=graph").text)
    assert re.findall(r'<p class="words">(.*?)</p>', page) == ["my cat?", "Turing, of course"]
    assert texts(page) == ["has a cat called Turing"]
    assert client.get("/thread?id=nobody").status_code == 404


def test_looking_makes_no_threads(tmp_path, visitor):
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"text": "x"})
    client = visitor(path)
    assert 'href="/threads"' not in client.get("/items").text
    assert client.get("/thread?id=1").status_code == 404
    import sqlite3

    with sqlite3.connect(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "checkpoints" not in tables
