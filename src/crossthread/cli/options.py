"""The arguments and options that several commands share, each described once."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from crossthread.cli.places import VARIABLE

_INDEX = "How memories are found"

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        default_factory=str,  # so that it may be left out: `StoreCommand` puts it in
        help=f"Path or URL of the memories. May be left out where {VARIABLE} is set.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str, typer.Argument(metavar="NAMESPACE", help="Labels with dots between them: memories.ada", show_default=False)
]
Prefix = Annotated[
    str,
    typer.Argument(
        metavar="NAMESPACE",
        help="This namespace and all below it; everything where it is left out.",
        show_default=False,
    ),
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key of the item.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for machines.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do it without asking.", show_default=False)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", metavar="", help="Only show what would be done.", show_default=False)
]

Embed = Annotated[
    str | None,
    typer.Option(
        "--embed",
        envvar="CROSSTHREAD_EMBED",
        metavar="MODEL",
        help="What makes vectors: local, provider:model, or module:function.",
        rich_help_panel=_INDEX,
        show_default=False,
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields",
        envvar="CROSSTHREAD_FIELDS",
        metavar="PATHS",
        help="Paths of the texts that are indexed, with commas between them; the whole value if not given.",
        rich_help_panel=_INDEX,
        show_default=False,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        envvar="CROSSTHREAD_LANGUAGE",
        metavar="NAME",
        help="Language of the words; as the store has it if not given.",
        rich_help_panel=_INDEX,
        show_default=False,
    ),
]
Dims = Annotated[
    int | None,
    typer.Option(
        "--dims",
        envvar="CROSSTHREAD_DIMS",
        metavar="N",
        help="Dimensions of the vectors.",
        rich_help_panel=_INDEX,
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="CROSSTHREAD_MODEL",
        metavar="NAME",
        help="Name of the model, where --embed does not tell it as the store knows it.",
        rich_help_panel=_INDEX,
        show_default=False,
    ),
]


# Of import and copy

Replace = Annotated[
    bool, typer.Option("--replace", metavar="", help="Replace what was written later, too.", show_default=False)
]
NoVectors = Annotated[
    bool, typer.Option("--no-vectors", metavar="", help="Embed the texts again with --embed.", show_default=False)
]


class Indexing(NamedTuple):
    """What a command line says of the index."""

    embed: str | None = None
    fields: str | None = None
    language: str | None = None
    dims: int | None = None
    model: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the keys of ``index=`` that are given; ``embed`` is a name still."""
        found: dict[str, Any] = {name: value for name, value in self._asdict().items() if value is not None}
        if self.fields is not None:
            found["fields"] = [path.strip() for path in self.fields.split(",") if path.strip()]
        return found
