"""The command ``edit``: an item's value in the user's editor, without losing what others write meanwhile."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from crossthread.cli.confirming import asked
from crossthread.cli.items import no_such_item
from crossthread.cli.options import Dims, Embed, Fields, Indexing, Json, Key, Language, Model, Namespace, Store
from crossthread.cli.output import Output, note
from crossthread.cli.places import labels
from crossthread.cli.running import CommandError
from crossthread.cli.showing import as_json, dotted, plain

_EDITORS = ("nano", "vim", "vi", "notepad")


class _ChangedError(Exception):
    """Somebody else wrote the item while it was in the editor."""


def edit(
    store: Store,
    namespace: Namespace,
    key: Key,
    embed: Embed = None,
    fields: Fields = None,
    language: Language = None,
    dims: Dims = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Change the value of an item in your editor: `$VISUAL`, `$EDITOR`, or one that is found.

    What is saved is written when the editor ends, if it is JSON, and if nobody else has written the item meanwhile.
    Otherwise nothing is written, and your text is kept in a file. An item that expires lives for its time anew.
    """
    from crossthread.cli.indexing import finding, open_for_writing

    out = Output(json)
    address = labels(namespace)
    name = f"{dotted(address)} {plain(key)}"
    wanted = Indexing(embed, fields, language, dims, model)
    with open_for_writing(store, wanted, create=False) as opened:
        record = opened.record(address, key)
        if record is None:
            raise no_such_item(opened, address, key)
        text, value = _edited(as_json(record.value, indent=2) + "\n", key)
        changed = _differ(value, record.value)
        if not changed:
            note(f"{name} was left as it is.")
        else:
            try:
                _write(opened, record, value, finding(opened, wanted, address, value, record))
            except _ChangedError:
                raise CommandError(
                    f"{name} was written by somebody else meanwhile, so that nothing was written here",
                    hint=f"your text is in {_kept(text, key)}",
                ) from None
            except BaseException:
                note(f"Your text is in {_kept(text, key)}")
                raise
            note(f"Wrote {name}.")
        if out.json:
            out.document({"changed": changed})


def _write(store: Any, record: Any, value: dict[str, Any], index: Any) -> None:
    """Write a new value in place of the one that was read, and of no other."""
    from crossthread.errors import ItemNotFoundError

    def change(current: dict[str, Any]) -> dict[str, Any]:
        if _differ(current, record.value):
            raise _ChangedError
        return value

    try:
        store.update(record.namespace, record.key, change, index=index, ttl=record.ttl)
    except ItemNotFoundError:
        raise _ChangedError from None


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two values are written differently: Python calls 1, 1.0 and true equal."""
    from crossthread import values

    return values.encode(one) != values.encode(other)


def _edited(text: str, key: str) -> tuple[str, dict[str, Any]]:
    """Let the user edit a text until it is a value, or they give up.

    Raises:
        CommandError: They gave up; the text is in a file.
    """
    while True:
        text = _in_editor(text, key)
        problem, value = _read(text)
        if problem is None:
            return text, value
        if sys.stdin is None or not sys.stdin.isatty():
            break
        note(problem, style="red")
        if not asked("Edit it again?"):
            break
    raise CommandError(f"{problem}, so that nothing was written", hint=f"your text is in {_kept(text, key)}")


def _read(text: str) -> tuple[str | None, dict[str, Any]]:
    from crossthread import values
    from crossthread.errors import InvalidValueError

    try:
        value: dict[str, Any] = json.loads(text, object_pairs_hook=values.once)
        values.encode(value)
    except InvalidValueError as error:
        return str(error).rstrip("."), {}
    except (ValueError, RecursionError) as error:
        return f"this is not JSON: {error}", {}
    return None, value


def _in_editor(text: str, key: str) -> str:
    command = _editor()
    with tempfile.TemporaryDirectory(prefix="crossthread-") as folder:  # for its owner's eyes only
        path = Path(folder, f"{_file_name(key)}.json")
        path.write_text(text, "utf-8")
        try:
            running = subprocess.Popen([*command, str(path)])
        except OSError as error:
            raise CommandError(
                f"the editor {shlex.join(command)} cannot be started: {error.strerror}", hint="set EDITOR"
            ) from error
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the editor's while it runs
        try:
            code = running.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        if code:
            raise CommandError(f"the editor {shlex.join(command)} ended with {code}, so that nothing was written")
        return path.read_text("utf-8", errors="replace")


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        if command := os.environ.get(variable, "").strip():
            try:
                return shlex.split(command, posix=os.name != "nt")
            except ValueError as error:
                raise CommandError(f"{variable} is no command: {error}", hint=f"it is {command}") from None
    for name in _EDITORS:
        if found := shutil.which(name):
            return [found]
    raise CommandError("there is no editor", hint="set EDITOR")


def _kept(text: str, key: str) -> str:
    """Write a text to a file that stays; return its path."""
    handle, path = tempfile.mkstemp(prefix=f"crossthread-{_file_name(key)}-", suffix=".json")
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _file_name(key: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in key[:40]) or "item"
