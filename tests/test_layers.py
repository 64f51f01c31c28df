"""The order of the modules: each imports only what stands above it, so what decides needs nothing that performs."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "crossthread"

# In import order; modules on one line do not import each other, except from left to right.
LAYERS = [
    "errors _text _clock _closing _program",
    "namespaces values ttl",
    "filters.ast filters.parse filters.match",
    "search.words search.vectors search.scan search.signs search.keyword search.fusion",
    "settings verification",
    "embedding.extract embedding.recover embedding.recover_words",
    "operations.reembedding operations.commands operations.plan",
    "embedding.base embedding.local embedding.adapters embedding.timeout embedding.window",
    "engines._fork engines._worker engines.base engines.registry engines.migrations engines.narrowing",
    "engines.memory_staging engines.memory",
    "engines.sqlite.presence engines.sqlite.connection engines.sqlite.peeking",
    "engines.sqlite.shared engines.sqlite.pool",
    "engines.sqlite.limits engines.sqlite.commits engines.sqlite.queries engines.sqlite.words engines.sqlite.state",
    "engines.sqlite.indexes engines.sqlite.erasing engines.sqlite.resident engines.sqlite.ranking",
    "engines.sqlite.records engines.sqlite.staging engines.sqlite.reads engines.sqlite.writes",
    "engines.sqlite.verification engines.sqlite.copying",
    "engines.sqlite.engine",
    "engines.postgres.erasing",
    "engines.postgres.addresses engines.postgres.connection engines.postgres.statements engines.postgres.schema",
    "engines.postgres.candidates",
    "engines.postgres.reads engines.postgres.records engines.postgres.staging",
    "engines.postgres.writes engines.postgres.verification",
    "engines.postgres.engine",
    "engines.postgres.distribute",
    "reranking turns batch records calls update reembedding reembeds sweeper store",
    "moving.items moving.lines moving.restoring moving.exporting moving.importing",
    "moving.foreign moving.copying",
    "telemetry.operations telemetry.recorder telemetry.store telemetry",
    "checkpointing.base checkpointing.sqlite checkpointing.postgres_server checkpointing.postgres",
    "checkpointing.opening",
    "threads.records threads.programs threads.threads",
    "_langgraph scopes.template scopes.identity scopes.view scopes.scope",
    "typed.indexed typed.codec typed.programs typed.collection",
    "forgetting",
    "agents.memories agents.tools agents.middleware",
    "workflow.caching workflow.scoping workflow.injection workflow.decorators memory deploy",
    "ui.shown ui.tree ui.security ui.inspected ui.pages ui.memories ui.picture ui.conversations ui.changes",
    "ui.app ui.server",
    "ui ui.__main__ testing cli __main__",
]
ORDER = [name for layer in LAYERS for name in layer.split()]


def rank(module: str) -> int:
    for name in (module, module.split(".")[0]):
        if name in ORDER:
            return ORDER.index(name)
    raise AssertionError(f"crossthread.{module} has no place in LAYERS")


def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        if not name.endswith("__init__") and not name.startswith("testing."):
            found[name] = path
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crossthread":
            for alias in node.names:
                names.add(f"{node.module}.{alias.name}".partition(".")[2])
        elif isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("crossthread."))
    known = modules()
    return {name if name in known else name.rpartition(".")[0] for name in names} - {""}


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_what_stands_above_it(module):
    mine = rank(module)
    for other in imported(modules()[module]):
        assert rank(other) <= mine, f"crossthread.{module} imports crossthread.{other}, which stands below it"


@pytest.mark.parametrize("module", sorted(modules()))
def test_optional_packages_stay_in_their_room(module):
    text = modules()[module].read_text("utf-8")
    rooms = {
        "wordllama": ("embedding.local",),
        "typer": ("cli", "__main__"),
        "rich": ("cli", "__main__"),
        "langgraph._internal": ("_langgraph",),
        "langchain.": ("agents.middleware",),
        "sqlite3": ("engines.sqlite", "checkpointing.sqlite"),
        "langgraph.checkpoint.sqlite": ("checkpointing.sqlite",),
        "starlette": ("ui",),
        "jinja2": ("ui",),
        "markupsafe": ("ui",),
        "uvicorn": ("ui",),
        "opentelemetry": ("telemetry.recorder",),
        "psycopg": ("engines.postgres", "checkpointing.postgres"),
        "langgraph.checkpoint.postgres": ("checkpointing.postgres",),
    }
    for package, its_rooms in rooms.items():
        imports = (f"import {package}", f"from {package}")
        assert module.startswith(its_rooms) or not any(line in text for line in imports), (
            f"crossthread.{module} imports {package}"
        )


@pytest.mark.parametrize("module", sorted(modules()))
def test_nothing_is_unpickled(module):
    """What comes out of a file or a server is data, never code: no module uses what makes objects of bytes."""
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(modules()[module].read_text("utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
