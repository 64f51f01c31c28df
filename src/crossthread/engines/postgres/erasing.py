"""What PostgreSQL keeps of deleted rows, in a sentence. It is for the server's administrator to change that."""

from __future__ import annotations


def traces(where: str) -> list[str]:
    """Return what may remain on a server.

    Args:
        where: The server, as messages name it.
    """
    return [
        f"{where} keeps the bytes of deleted rows in its files until VACUUM has run and their place is used again "
        "(VACUUM FULL rewrites a table at once), and in its write-ahead log and backups for as long as these are kept."
    ]
