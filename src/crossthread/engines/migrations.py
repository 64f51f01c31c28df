"""Finds an engine's numbered migrations. Reads package data only; the engine applies them, all in one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from crossthread.errors import SchemaVersionError

_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """A step from the schema before to schema ``number``."""

    number: int
    statements: tuple[str, ...]


def load_migrations(package: str) -> list[Migration]:
    """Return the migrations in a package's folder ``migrations``, in order and without gaps."""
    found = []
    for entry in files(package).joinpath("migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match.group(1)), tuple(_statements(entry.read_text("utf-8")))))
    found.sort()
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return found


def pending(migrations: list[Migration], version: int, where: str) -> list[Migration]:
    """Return the migrations that a database of schema ``version`` lacks.

    Raises:
        SchemaVersionError: The database is of a newer release.
    """
    newest = migrations[-1].number
    if version > newest:
        raise SchemaVersionError(
            f"{where} has schema {version}, from a newer release of crossthread; this one knows up to {newest}. "
            "It was left as it was: upgrade with pip install -U crossthread."
        )
    return migrations[version:]


def _statements(script: str) -> Iterator[str]:
    """Split a script: a statement ends with a semicolon at the end of a line, outside of ``$$`` quotes."""
    statement = ""
    for line in script.splitlines():
        statement += line.split("--")[0].rstrip() + "\n"
        if statement.rstrip().endswith(";") and statement.count("$$") % 2 == 0:
            yield statement.strip()
            statement = ""
