"""Spans and metrics of a store, as a real OpenTelemetry SDK exports them."""

import asyncio
import threading
import time

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp
from opentelemetry import trace
from recording import Recording

from crossthread import EmbeddingError, InvalidArgumentError, ItemNotFoundError, Memory, MemoryStore
from crossthread.telemetry import CrossthreadInstrumentor, instrument, uninstrument
from crossthread.testing import HashEmbeddings

ADA = ("memories", "ada")
NAMES = {"record_names": True}


@pytest.fixture
def recording():
    return Recording()


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path, recording):
    url = ":memory:" if request.param == "memory" else tmp_path / "agent.db"
    with MemoryStore(url, index={"embed": HashEmbeddings(32), "fields": ["text"]}) as opened:
        instrument(opened, **recording.providers)
        yield opened


def every_call(store):
    """Make one call of each kind; return the names of the operations."""
    store.put(ADA, "food", {"text": "pizza"})
    store.get(ADA, "food")
    store.search(ADA, query="pizza")
    store.list_namespaces()
    store.count(ADA)
    store.update(ADA, "food", lambda value: {**value, "n": 1})
    store.delete(ADA, "food")
    store.sweep_ttl()
    store.forget(ADA)
    store.verify()
    store.records()
    store.record(ADA, "food")
    store.stats()
    store.erase_traces()
    store.batch([PutOp(ADA, "a", {"text": "x"}), PutOp(ADA, "b", {"text": "y"})])
    store.batch([PutOp(ADA, "a", {"text": "x"}), GetOp(ADA, "a")])


async def every_async_call(store):
    await store.aput(ADA, "food", {"text": "pizza"})
    await store.aget(ADA, "food")
    await store.asearch(ADA, query="pizza")
    await store.alist_namespaces()
    await store.acount(ADA)
    await store.aupdate(ADA, "food", lambda value: {**value, "n": 1})
    await store.adelete(ADA, "food")
    await store.asweep_ttl()
    await store.aforget(ADA)
    await store.averify()
    await store.arecords()
    await store.arecord(ADA, "food")
    await store.astats()
    await store.aerase_traces()
    await store.abatch([PutOp(ADA, "a", {"text": "x"}), PutOp(ADA, "b", {"text": "y"})])
    await store.abatch([PutOp(ADA, "a", {"text": "x"}), GetOp(ADA, "a")])


OPERATIONS = [
    *("put", "get", "search", "list_namespaces", "count", "update", "delete", "sweep_ttl", "forget", "verify"),
    *("records", "record", "stats", "erase_traces", "BATCH put", "BATCH"),
]


@pytest.mark.parametrize("is_async", [False, True])
def test_every_operation_has_a_span_and_a_duration(store, recording, is_async):
    if is_async:
        asyncio.run(every_async_call(store))
    else:
        every_call(store)
    spans = [span for span in recording.spans() if span.parent is None]
    assert [span.name for span in spans] == OPERATIONS
    for span in spans:
        assert span.kind is trace.SpanKind.CLIENT
        assert span.attributes["db.operation.name"] == span.name
        assert span.attributes["db.system.name"] in ("memory", "sqlite")
        assert span.instrumentation_scope.name == "crossthread"
    assert recording.counts("db.client.operation.duration") == dict.fromkeys(OPERATIONS, 1)
    reads = {"BATCH", "get", "list_namespaces", "records", "search"}
    assert set(recording.counts("db.client.response.returned_rows")) == reads


@pytest.mark.parametrize("is_async", [False, True])
def test_an_operation_shows_what_it_waited_for(store, recording, is_async):
    """A put looks up known texts, embeds and writes; an update reads and puts; async calls have the same spans."""

    async def run():
        await store.aput(ADA, "food", {"text": "pizza"})
        await store.asearch(ADA, query="soup")
        await store.aupdate(ADA, "food", lambda value: {"text": "soup"})

    if is_async:
        asyncio.run(run())
    else:
        store.put(ADA, "food", {"text": "pizza"})
        store.search(ADA, query="soup")
        store.update(ADA, "food", lambda value: {"text": "soup"})
    found = recording.tree()
    assert found[:4] == ["put", "put > execute", "put > embed", "put > execute"]
    assert found[4:7] == ["search", "search > embed", "search > execute"]
    assert found[7] == "update"
    assert "update > put > embed" in found
    assert found[-1] == "update > put > execute"
    assert recording.counts("db.client.operation.duration") == {"put": 1, "search": 1, "update": 1}


@pytest.mark.parametrize("kind", ["sync", "async", "async in disguise", "LangChain"])
@pytest.mark.parametrize("is_async", [False, True])
def test_the_model_is_called_within_the_span_of_its_call(tmp_path, recording, kind, is_async):
    """Whatever thread or loop the model runs in: spans of an HTTP client, say, are within ``embed``."""
    tracer = recording.tracer_provider.get_tracer("a client")

    def embed(texts):
        with tracer.start_as_current_span("POST"):
            return [[1.0, float(len(text))] for text in texts]

    async def aembed(texts):
        await asyncio.sleep(0.001)
        return embed(texts)

    class Model(HashEmbeddings):
        def embed_documents(self, texts):
            with tracer.start_as_current_span("POST"):
                return super().embed_documents(texts)

    model = {"sync": embed, "async": aembed, "async in disguise": lambda texts: aembed(texts), "LangChain": Model(2)}
    with MemoryStore(tmp_path / "agent.db", index={"embed": model[kind]}) as store:
        instrument(store, **recording.providers)
        with tracer.start_as_current_span("run"):
            if is_async:
                asyncio.run(store.aput(ADA, "food", {"text": "pizza"}))
            else:
                store.put(ADA, "food", {"text": "pizza"})
        found = recording.tree()
    # A private loop serves the async models of sync callers, and has no context of theirs.
    assert found[:2] == ["run", "run > put"]
    if is_async or kind in ("sync", "LangChain"):
        assert "run > put > embed > POST" in found
    assert "run > put > embed" in found


def test_a_reranker_has_a_span(tmp_path, recording):
    async def by_score(query, hits):
        return hits

    index = {"mode": "keyword", "rerank": by_score}
    with MemoryStore(tmp_path / "agent.db", index=index) as store:
        store.put(ADA, "food", {"text": "pizza"})
        instrument(store, **recording.providers)
        store.search(ADA, query="pizza")
        asyncio.run(store.asearch(ADA, query="pizza"))
    # The second look renews the life of the hits, and of no others.
    assert recording.tree() == ["search", "search > execute", "search > rerank", "search > execute"] * 2


def test_calls_at_once_keep_their_spans_apart(store, recording):
    async def one(number):
        with recording.tracer_provider.get_tracer("user").start_as_current_span(f"run {number}"):
            await store.aput(ADA, str(number), {"text": f"text {number}"})
            return await store.asearch(ADA, query=f"text {number}", limit=1)

    async def all_of_them():
        return await asyncio.gather(*[one(number) for number in range(20)])

    asyncio.run(all_of_them())
    found = recording.tree()
    for number in range(20):
        mine = [path.partition(" > ")[2] for path in found if path.split(" > ")[0] == f"run {number}"]
        assert sorted(mine) == [
            *("", "put", "put > embed", "put > execute", "put > execute"),
            *("search", "search > execute"),
        ] or sorted(mine) == [
            *("", "put", "put > embed", "put > execute", "put > execute"),
            *("search", "search > embed", "search > execute"),
        ]


def test_threads_keep_their_spans_apart(store, recording):
    def work():
        for number in range(5):
            store.put(ADA, threading.current_thread().name, {"text": f"{number}"})

    threads = [threading.Thread(target=work, name=str(number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recording.tree().count("put") == 20
    (point,) = recording.points("crossthread.commit.batches")
    assert point.sum == 20  # in as many commits, or fewer
    assert 1 <= point.count <= 20


def test_nothing_of_a_person_is_told_unless_asked_for(store, recording):
    namespace, key, text = ("memories", "ada-lovelace"), "secret-key", "secret text"
    store.put(namespace, key, {"text": text})
    store.get(namespace, key)
    store.search(namespace, query=text, filter={"text": {"$ne": "secret filter"}})
    store.update(namespace, key, lambda value: {"text": "secret answer"})
    with pytest.raises(ItemNotFoundError):
        store.update(namespace, "secret-missing", lambda value: value)
    store.forget(namespace)
    told = recording.everything()
    assert "ItemNotFoundError" in told
    assert "secret" not in told
    assert "lovelace" not in told


def test_names_are_told_where_they_are_asked_for(store, recording):
    instrument(store, **recording.providers, **NAMES)
    store.put(ADA, "food", {"text": "secret"})
    with pytest.raises(ItemNotFoundError):
        store.update(ADA, "drink", lambda value: value)
    put, *_, update, _, _ = recording.spans()
    assert put.attributes["db.collection.name"] == "memories.ada"
    assert put.attributes["crossthread.key"] == "food"
    assert update.attributes["crossthread.key"] == "drink"
    assert update.events[0].name == "exception"
    assert "drink" in update.status.description
    assert "secret" not in recording.everything()


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_is_recorded_where_it_happened(tmp_path, recording, is_async):
    with MemoryStore(tmp_path / "agent.db", index={"embed": lambda texts: []}) as store:
        instrument(store, **recording.providers)
        put = (lambda *item: asyncio.run(store.aput(*item))) if is_async else store.put
        with pytest.raises(EmbeddingError):
            put(ADA, "food", {"text": "pizza"})
        with pytest.raises(InvalidArgumentError):
            store.search(ADA, limit=-1)
    failed = {span.name: span for span in recording.spans() if not span.status.is_ok}
    assert set(failed) == {"put", "embed", "search"}
    assert failed["embed"].attributes["error.type"] == "crossthread.errors.EmbeddingError"
    assert failed["put"].events == ()
    errors = {
        point.attributes["db.operation.name"]: point.attributes.get("error.type")
        for point in recording.points("db.client.operation.duration")
    }
    assert errors["put"] == "crossthread.errors.EmbeddingError"
    assert errors["search"] == "crossthread.errors.InvalidArgumentError"


def test_a_refused_batch_marks_what_executed_it(tmp_path, recording):
    with MemoryStore(tmp_path / "agent.db") as store:
        instrument(store, **recording.providers)
        store._engine.close()
        with pytest.raises(Exception, match="closed"):
            store.count(ADA)
    count, execute = recording.spans()
    assert (count.name, execute.name) == ("count", "execute")
    assert execute.attributes["error.type"] == "crossthread.errors.StoreClosedError"


def test_a_cancelled_call_ends_its_spans(tmp_path, recording):
    async def never(texts):
        await asyncio.sleep(60)

    async def run():
        with MemoryStore(tmp_path / "agent.db", index={"embed": never}) as store:
            instrument(store, **recording.providers)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await store.aput(ADA, "food", {"text": "pizza"})

    asyncio.run(run())
    spans = {span.name: span for span in recording.spans()}
    assert spans["put"].attributes["error.type"].endswith("CancelledError")
    assert "embed" in spans


def test_metrics_count_items_texts_and_commits(store, recording):
    store.batch([PutOp(ADA, str(number), {"text": f"text {number}"}) for number in range(7)])
    store.search(ADA, query="text", limit=3)
    store.put(ADA, "again", {"text": "text 1"})  # known: not embedded again
    (texts,) = recording.points("crossthread.embedded_texts")
    assert texts.value == 8
    (rows,) = recording.points("db.client.response.returned_rows")
    assert (rows.attributes["db.operation.name"], rows.sum) == ("search", 3)
    (commits,) = recording.points("crossthread.commit.batches")
    assert (commits.count, commits.sum) == (2, 2)


def test_durations_are_told_in_buckets_that_fit_a_local_file(store, recording):
    store.get(ADA, "food")
    (point,) = recording.points("db.client.operation.duration")
    assert point.explicit_bounds[0] == 0.00001
    assert set(point.explicit_bounds) >= {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}
    assert 0 < point.sum < 1


def test_a_store_works_as_before_and_can_be_left_alone_again(store, recording):
    kind = type(store)
    assert isinstance(store, MemoryStore)
    assert kind.__name__ == "MemoryStore"
    assert isinstance(store.embeddings, HashEmbeddings)
    uninstrument(store)
    assert type(store) is MemoryStore
    uninstrument(store)
    store.put(ADA, "food", {"text": "pizza"})
    asyncio.run(store.aput(ADA, "drink", {"text": "tea"}))
    assert len(store.search(ADA, query="tea")) == 2
    assert recording.spans() == []
    assert recording.points("crossthread.embedded_texts") == []


def test_a_store_that_is_instrumented_twice_tells_things_once(store, recording):
    instrument(store, **recording.providers)
    store.put(ADA, "food", {"text": "pizza"})
    assert recording.tree().count("put") == 1
    assert recording.tree() == []


def test_a_subclass_keeps_its_methods(recording):
    class Mine(MemoryStore):
        def remember(self, text):
            self.put(ADA, text, {"text": text})
            return 42

    with Mine() as store:
        instrument(store, **recording.providers)
        assert store.remember("pizza") == 42
        assert isinstance(store, Mine)
    assert recording.tree()[0] == "put"


def test_what_is_no_store_is_refused(recording):
    with Memory() as memory, pytest.raises(InvalidArgumentError, match=r"memory\.store"):
        instrument(memory)  # type: ignore[arg-type]


def test_views_and_workflows_are_told_by_the_store_below(recording, tmp_path):
    with Memory(tmp_path / "agent.db") as memory:
        instrument(memory.store, **recording.providers)

        @memory.entrypoint(scope=("memories", "{user_id}"))
        def chat(message, *, store):
            store.put((), message, {"text": message})
            return len(store.search(()))

        tracer = recording.tracer_provider.get_tracer("user")
        with tracer.start_as_current_span("turn"):
            assert chat.invoke("hello", {"configurable": {"thread_id": "1", "user_id": "ada"}}) == 1
    found = recording.tree()
    assert "turn > put" in found
    assert "turn > search" in found


def test_the_instrumentor_reaches_every_store_that_is_opened(recording):
    before = MemoryStore()
    instrumentor = CrossthreadInstrumentor()
    instrumentor.instrument(**recording.providers, skip_dep_check=True)
    try:
        assert CrossthreadInstrumentor().is_instrumented_by_opentelemetry
        instrumentor.instrument(**recording.providers)
        with Memory() as memory:
            memory.store.put(ADA, "food", {"text": "pizza"})
            assert recording.tree() == ["put", "put > execute"]
            before.put(ADA, "food", {"text": "pizza"})
            assert recording.tree() == []
            instrumentor.uninstrument()
            memory.store.put(ADA, "food", {"text": "pizza"})
    finally:
        instrumentor.uninstrument()
    with MemoryStore() as after:
        after.put(ADA, "food", {"text": "pizza"})
    assert recording.tree() == []
    assert not instrumentor.is_instrumented_by_opentelemetry
    before.close()


def test_a_batch_of_reads_and_writes_tells_its_size(store, recording):
    store.batch([PutOp(ADA, "a", {"text": "x"}), GetOp(ADA, "a"), SearchOp(ADA)])
    (batch,) = [span for span in recording.spans() if span.parent is None]
    assert batch.name == "BATCH"
    assert batch.attributes["db.operation.batch.size"] == 3
    assert batch.attributes["db.response.returned_rows"] == 0


def test_a_span_covers_the_wait_for_the_answer(tmp_path, recording):
    def slow(texts):
        time.sleep(0.05)
        return [[1.0, 2.0] for _ in texts]

    with MemoryStore(tmp_path / "agent.db", index={"embed": slow}) as store:
        instrument(store, **recording.providers)
        asyncio.run(store.aput(ADA, "food", {"text": "pizza"}))
    spans = {span.name: span.end_time - span.start_time for span in recording.spans()}
    assert spans["put"] >= spans["embed"] >= 50_000_000
