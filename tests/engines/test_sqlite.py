"""The embedded SQLite engine, held to the contract."""

from __future__ import annotations

from pathlib import Path

from crossthread.testing import EngineSuite


class TestSQLite(EngineSuite):
    """The engine in a file passes the whole suite."""

    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "agent.db")
