"""The PostgreSQL engine, held to the contract."""

from __future__ import annotations

from pathlib import Path

from crossthread.testing import EngineSuite
from servers import store_url


class TestPostgres(EngineSuite):
    """The engine on a server passes the whole suite."""

    def url(self, tmp_path: Path) -> str:
        return store_url(tmp_path)
