"""Spans and metrics of a store on a PostgreSQL server."""

import asyncio
import logging

from recording import Recording

from crossthread import MemoryStore
from crossthread.telemetry import instrument
from crossthread.testing import HashEmbeddings
from servers import store_url

ADA = ("memories", "ada")


def test_a_server_has_the_same_spans(tmp_path, caplog):
    recording = Recording()
    with (
        caplog.at_level(logging.INFO, "crossthread"),
        MemoryStore(store_url(tmp_path), index={"embed": HashEmbeddings(8), "fields": ["text"]}) as store,
    ):
        instrument(store, **recording.providers)
        store.put(ADA, "food", {"text": "pizza"})

        async def puts():
            await asyncio.gather(*[store.aput(ADA, str(number), {"text": str(number)}) for number in range(30)])

        asyncio.run(puts())
        spans = recording.spans()
        assert {span.attributes["db.system.name"] for span in spans} == {"postgresql"}
        assert [span.name for span in spans[:4]] == ["put", "execute", "embed", "execute"]
        assert [span.name for span in spans].count("put") == 31
        (commits,) = recording.points("crossthread.commit.batches")
        assert commits.sum == 31
        assert commits.count < 31  # those that waited shared commits
    assert "Applying step 1 to the schema" in caplog.text
    assert "password" not in caplog.text
