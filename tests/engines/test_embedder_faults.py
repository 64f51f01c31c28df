"""Embedders that raise, hang or return garbage at each of their calls: nothing is half written."""

import asyncio
import threading
import time

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from crossthread import ConfigurationError, EmbeddingError, EmbeddingTimeoutError, MemoryStore
from crossthread.testing import HashEmbeddings

ADA = ("memories", "ada")
GARBAGE = [
    None,
    1,
    "vector",
    [],
    [[]],
    [None],
    [["x"]],
    [[float("nan")] * 8],
    [[1.0] * 9],
    {},
    [[1.0] * 8] * 50,
]


class Flaky:
    """Embeds until its n-th call, which raises, hangs until it is let go, or answers with garbage."""

    def __init__(self, kind, at=0):
        self.kind, self.at, self.calls = kind, at, 0
        self.model = HashEmbeddings(8)
        self.released = threading.Event()

    def _strikes(self):
        self.calls += 1
        return self.calls == self.at

    def __call__(self, texts):
        if self._strikes():
            if self.kind == "raises":
                raise ConnectionError("no model here")
            if self.kind != "hangs":
                return self.kind[0]
            self.released.wait(20)
        return self.model.embed_documents(texts)

    async def later(self, texts):
        if self._strikes():
            await asyncio.sleep(60)
        return self.model.embed_documents(texts)


def act(store, is_async, name, *args, **kwargs):
    if is_async:
        return asyncio.run(getattr(store, f"a{name}")(*args, **kwargs))
    return getattr(store, name)(*args, **kwargs)


def steps(store, is_async):
    """Make calls that need the model, several of each; yield before each what it may change."""
    yield lambda: act(store, is_async, "put", ADA, "a", {"text": "green tea"})
    yield lambda: act(store, is_async, "batch", [PutOp(ADA, f"b{n}", {"text": f"tea {n}"}) for n in range(3)])
    yield lambda: act(store, is_async, "update", ADA, "a", lambda value: {"text": value["text"] + " and trains"})
    yield lambda: act(store, is_async, "search", ADA, query="roses")
    mixed = [GetOp(ADA, "a"), SearchOp(ADA, query="winter"), PutOp(ADA, "b0", None), PutOp(ADA, "c", {"text": "red"})]
    yield lambda: act(store, is_async, "batch", mixed)


def content(store):
    return [(one.key, one.value, one.updated_at) for one in store.search((), limit=100)]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("place", ["memory", "file"])
@pytest.mark.parametrize("kind", ["raises", "hangs", *[(one,) for one in GARBAGE]], ids=lambda kind: repr(kind)[:20])
def test_each_call_fails_once(tmp_path, place, kind, is_async):
    for at in range(1, 20):
        flaky = Flaky(kind, at)
        index = {"embed": flaky, "fields": ["text"], "dims": 8}
        if kind == "hangs":
            index["embed_timeout_seconds"] = 0.1
        expected = EmbeddingError
        if isinstance(kind, str):
            expected = ConnectionError if kind == "raises" else EmbeddingTimeoutError
        with MemoryStore(tmp_path / f"{at}.db" if place == "file" else ":memory:", index=index) as store:
            for step in steps(store, is_async):
                before = content(store)
                struck = flaky.calls < at
                try:
                    step()
                except expected:
                    assert struck
                    assert flaky.calls == at
                    assert content(store) == before
                    flaky.released.set()
                    step()  # it works again
            passed, flaky.at = flaky.calls < at, 0
            assert sorted(key for key, *_ in content(store)) == ["a", "b1", "b2", "c"]
            assert store.search(ADA, query="red", limit=1)[0].key == "c"
            if passed:
                assert at > 4
                return
    raise AssertionError("it never passed")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("function", ["sync", "async", "disguised"])
def test_a_model_that_hangs_is_given_up_in_time(function, is_async):
    flaky = Flaky("hangs", 1)
    embed = {"sync": flaky, "async": flaky.later, "disguised": lambda texts: flaky.later(texts)}[function]
    with MemoryStore(index={"embed": embed, "fields": ["text"], "embed_timeout_seconds": 0.2}) as store:
        since = time.monotonic()
        with pytest.raises(EmbeddingTimeoutError, match=r"0\.2 seconds .*embed_timeout_seconds"):
            act(store, is_async, "put", ADA, "k", {"text": "tea"})
        assert 0.15 < time.monotonic() - since < 5
        assert store.count() == 0
        act(store, is_async, "put", ADA, "k", {"text": "tea"})
        assert store.search(ADA, query="tea")[0].key == "k"
        assert store.embeddings is not None
    flaky.released.set()


def test_a_timeout_of_the_model_itself_stays_its_own():
    async def embed(texts):
        raise TimeoutError("the model's own")

    with (
        MemoryStore(index={"embed": embed, "embed_timeout_seconds": 5}) as store,
        pytest.raises(TimeoutError, match="own") as caught,
    ):
        asyncio.run(store.aput(ADA, "k", {"text": "tea"}))
    assert not isinstance(caught.value, EmbeddingTimeoutError)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", True, 10**400])
def test_a_limit_that_is_none_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="embed_timeout_seconds"):
        MemoryStore(index={"embed": HashEmbeddings(8), "embed_timeout_seconds": seconds})
