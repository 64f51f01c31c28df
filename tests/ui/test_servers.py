"""The inspector over a store on PostgreSQL."""

import pytest
from langgraph.func import entrypoint

from crossthread import Memory, MemoryStore, StoreError
from crossthread.testing import HashEmbeddings
from crossthread.ui.inspected import open_inspected
from servers import run_sql, schema_for, store_url

ADA = ("memories", "ada")
INDEX = {"embed": HashEmbeddings(), "mode": "hybrid", "fields": ["text"]}


def test_what_is_not_there_is_not_created_on_a_server(tmp_path):
    with pytest.raises(StoreError):
        open_inspected(store_url(tmp_path))
    found = run_sql("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", schema_for(tmp_path))
    assert found == []


def test_a_store_on_a_server_is_shown_and_changed(tmp_path, visitor):
    url = store_url(tmp_path)
    with MemoryStore(url, index=INDEX) as store:
        for number in range(4):
            store.put(ADA, f"k{number}", {"text": f"likes dish {number}"}, ttl=60)
    alone = open_inspected(url)
    assert alone.threads is None
    alone.close()
    with Memory(url, index=INDEX) as memory:

        @memory.entrypoint
        def chat(text: str, *, previous):
            return entrypoint.final(value=f"You said {text}", save=text)

        chat.invoke("hello", {"configurable": {"thread_id": "monday", "user_id": "ada"}})
    looked_at = open_inspected(url, index=INDEX)
    try:
        client = visitor(looked_at)
        assert client.get("/items?ns=memories.ada&q=dish").text.count('class="card"') == 4
        assert "in 59 minutes" in client.get("/item?ns=memories.ada&key=k1").text
        assert client.get("/picture").text.count("<circle cx=") == 4
        page = client.get("/edit?ns=memories.ada&key=k1").text
        assert client.post_form("/edit", page, value='{"text": "likes sushi"}').status_code == 303
        assert looked_at.store.search(ADA, query="sushi", mode="semantic", limit=1)[0].key == "k1"
        assert looked_at.store.record(ADA, "k1").ttl == 60
        assert "You said hello" in client.get("/thread?id=monday").text
        assert client.post_form("/forget", client.get("/forget?ns=memories").text).status_code == 303
        assert looked_at.store.count() == 0
    finally:
        looked_at.close()
