"""Every statement of the PostgreSQL engine keeps to what a cluster takes; PostgreSQL's own grammar parses them.

The rules are what Citus 13 refuses, or does otherwise without a word, where `items` and `vectors` are distributed by
the column `namespace`; they are stricter where that makes them simpler and the engine can do without.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from pglast import ast, parse_plpgsql, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType, JoinType
from pglast.stream import RawStream

from crossthread.engines.migrations import load_migrations
from crossthread.engines.narrowing import narrowing
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres import verification
from crossthread.engines.postgres.reads import DIALECT
from crossthread.engines.postgres.statements import Statements, scope
from crossthread.filters.parse import parse_filter

PACKAGE = "crossthread.engines.postgres"
DISTRIBUTED = {"items", "words", "vectors"}
WIDE = ["", "memories."]
SCOPES = [*WIDE, "memories.ada.", "memories.ada.work.", "memories.ada.work.projects."]
FILTER = {"kind": "fact", "pinned": True, "age": {"$gte": 3}, "place.city": {"$in": ["Bern", "Rome"]}}
NARROWED = re.sub(r"\?", lambda found: f"${7 + found.start()}", narrowing(parse_filter(FILTER), DIALECT)[0])
MANY_SHARDS = {
    "get_many",
    "rows",
    "vectors",
    "stored_at",
    "words_of",
    "hashes_of",
    "vectors_of",
    "drop_words",
    "drop_vectors",
    "refresh",
    "known_vector",
    "known_vectors",
    "count_texts",
    "texts_page",
    "unstaged_page",
    "missing",
    "other_generations",
    "drop_generations",
    "sweep",
    "verify",
}  # beside wide scopes; others ask one
ONE_MACHINE = {
    "settings",
    "known_vector",
    "known_vectors",
    "nearest",
    "nearest_matching",
    "vectors",
    "list_namespaces",
}  # worded otherwise for a cluster


def of_statements(is_cluster: bool, vector_schema: str | None = "public") -> dict[str, str]:
    """Return every text of `Statements`; those of builders for every kind of scope and filter."""
    made = Statements("x", vector_schema, is_cluster)
    found = {}
    for name, value in vars(made).items():
        if not name.startswith("_") and isinstance(value, (str, list, tuple)) and name not in ("table", "items"):
            found.update({f"{name} {n}": one for n, one in enumerate([value] if isinstance(value, str) else value)})
    for name, build in inspect.getmembers(made, inspect.ismethod):
        takes = list(inspect.signature(build).parameters)[1:]
        for prefix in [] if name.startswith("_") else SCOPES:
            for label, extra in (("", "TRUE"), (" filtered", NARROWED))[: 1 + bool(takes)]:
                found[f"{name} {prefix!r}{label}"] = build(scope(prefix), **dict.fromkeys(takes, extra))
    return found


def of_migrations() -> dict[str, str]:
    """Return the statements of the migrations, and those inside of their functions."""
    found = {}
    for package in (PACKAGE, f"{PACKAGE}.vectors"):
        for text in [text for step in load_migrations(package) for text in step.statements]:
            sql = text.replace("{schema}", "x").replace("{vector}", "public")
            found[title := f"{len(found)} {sql[:40].split('(')[0].strip()}"] = sql
            for function in inside(parse_sql(sql), ast.CreateFunctionStmt):
                options = {option.defname: option.arg for option in function.options}
                body = [options["as"][0].sval]
                if options["language"].sval == "plpgsql":
                    body = in_plpgsql(parse_plpgsql(sql.replace("public.vector", "real")))
                found.update({f"{title} {n}": one for n, one in enumerate(body)})
    return found


def in_plpgsql(node: Any) -> Iterator[str]:
    """Yield the statements in the tree of a function, and its expressions as queries."""
    if isinstance(node, dict) and "parseMode" in node:
        yield node["query"] if node["parseMode"] == 0 else "SELECT " + node["query"].split(":=")[-1]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from in_plpgsql(child)


def of_modules() -> dict[str, str]:
    """Return the constants of `statements` but that for one machine, and what modules write out where they send it."""
    constants = {
        name: text
        for name, text in vars(texts).items()
        if re.fullmatch("(?!SETTINGS)[A-Z][A-Z_]*", name) and isinstance(text, str)
    }
    sources = [file.read_text("utf-8") for file in files(PACKAGE).iterdir() if file.name.endswith(".py")]
    written = [text for source in sources for text in re.findall(r'fetch\([\w.]+, f?"(.*?)"', source)]
    return constants | {text: re.sub(r"\{.*?\}", "x", text) for text in written}


def inside(node: Any, *kinds: type) -> list[Any]:
    """Return the nodes of some kinds, this one and those below."""
    children = node if isinstance(node, (tuple, list)) else [getattr(node, name) for name in node]
    found = [one for child in children if isinstance(child, (tuple, ast.Node)) for one in inside(child, *kinds)]
    return [node, *found] if isinstance(node, kinds) else found


def name_of(node: Any) -> list[str]:
    """Return the parts of the name of a column, function or type that is cast to; [""] for another node."""
    if isinstance(node, ast.SQLValueFunction):
        return ["now"]  # CURRENT_TIMESTAMP and its like
    node = node.typeName if isinstance(node, ast.TypeCast) else node
    parts = next((getattr(node, name) for name in ("fields", "funcname", "names") if hasattr(node, name)), ())
    return [getattr(part, "sval", "*") for part in parts] or [""]


def is_distributed(node: Any) -> bool:
    return getattr(node, "relname", "") in DISTRIBUTED


def is_parameter(node: Any) -> bool:
    """Whether it is a parameter of the statement or of the function around it, or an element of one."""
    is_named = re.fullmatch(r"p_\w+", ".".join(name_of(node))) is not None
    return is_named or isinstance(node, (ast.ParamRef, ast.A_Indirection))


class Level:
    """One SELECT, UPDATE or DELETE: what it reads, and which conditions on `namespace` hold for all of it."""

    def __init__(self, node: Any, of_one_row: set[str]) -> None:
        self.node = node
        self.sources: dict[str, Any] = {}
        self.conditions: list[Any] = []  # those that must all hold
        self.outer: list[Any] = []  # sides of outer joins
        queue = [getattr(node, name, None) for name in ("relation", "fromClause", "usingClause", "whereClause")]
        while queue:
            match queue.pop():
                case tuple() as parts:
                    queue += parts
                case ast.JoinExpr() as join:
                    queue += [join.larg, join.rarg, join.quals]
                    self.outer += [join.larg, join.rarg] if join.jointype != JoinType.JOIN_INNER else []
                case ast.BoolExpr(boolop=BoolExprType.AND_EXPR) as condition:
                    queue += condition.args
                case ast.RangeVar(relname=name) if name in of_one_row:
                    pass
                case ast.Node() as source if type(source).__name__.startswith("Range"):
                    self.sources[source.alias.aliasname if source.alias else getattr(source, "relname", "")] = source
                case ast.Node() as condition:
                    self.conditions.append(condition)
        equal = [one for one in self.conditions if isinstance(one, ast.A_Expr) and one.kind == A_Expr_Kind.AEXPR_OP]
        equal = [one for one in equal if one.name[-1].sval == "="]
        sides = [pair for one in equal for pair in ((one.lexpr, one.rexpr), (one.rexpr, one.lexpr))]
        named = [(name_of(column)[0], other) for column, other in sides if name_of(column)[1:] == ["namespace"]]
        self.pairs = [(source, name_of(other)[0]) for source, other in named if name_of(other)[1:] == ["namespace"]]
        self.homes = {source: other for source, other in named if is_parameter(other)}

    def is_joined(self) -> bool:
        """Whether all its sources, and those of outer levels that it names, have the same namespace."""
        defined = {name for level in levels(self.node) for name in level.sources}
        columns = [name_of(one) for one in inside(self.conditions, ast.ColumnRef)]
        groups = [{name} for name in {*self.sources, *({one[0] for one in columns if one[1:]} - defined)}]
        for pair in self.pairs:
            both = [group for group in groups if group & {*pair}]
            groups = [group for group in groups if group not in both] + [set().union(*both)]
        return len(groups) < 2 or all(getattr(one, "relname", "")[:3] == "pg_" for one in self.sources.values())

    def is_at_home(self) -> bool:
        """Whether the tables that it reads are read in one namespace, given as a value."""
        return self.is_joined() and bool(self.homes or not any(map(is_distributed, self.sources.values())))


def levels(tree: Any) -> list[Level]:
    # A cluster sends a row of sums along, as it does a parameter.
    sums = [one for one in inside(tree, ast.CommonTableExpr) if isinstance(one.ctequery, ast.SelectStmt)]
    of_one_row = {
        one.ctename
        for one in sums
        if not one.ctequery.groupClause and all(inside(part, ast.FuncCall) for part in one.ctequery.targetList or [()])
    }
    return [Level(one, of_one_row) for one in inside(tree, ast.SelectStmt, ast.UpdateStmt, ast.DeleteStmt)]


TIMES = {"now", "clock_timestamp", "statement_timestamp", "make_interval", "to_timestamp", "interval", "timestamptz"}
OWN = dict(re.findall(r"FUNCTION x\.(\w+)\(.*?LANGUAGE \w+ (\w+)", "".join(of_migrations().values()), re.S))
IMMUTABLE = {name for name in OWN if OWN[name] == "IMMUTABLE"}
VOLATILE = {*OWN, "nextval", "setval", "random", "clock_timestamp"} - {
    n for n in OWN if OWN[n] in ("IMMUTABLE", "STABLE")
}


def functions(node: Any) -> set[str]:
    return {name_of(one)[-1] for one in inside(node or (), ast.FuncCall, ast.SQLValueFunction)}


def keys(tree: Any) -> Iterator[list[str]]:
    """Yield the columns of every key of a distributed table: unique ones, primary and foreign."""
    for one in inside(tree, ast.IndexStmt):
        if one.unique and is_distributed(one.relation):
            yield [part.name for part in one.indexParams]
    for table in inside(tree, ast.CreateStmt, ast.AlterTableStmt):
        inline = {id(one): [part.colname] for part in inside(table, ast.ColumnDef) for one in part.constraints or ()}
        for one in inside(table, ast.Constraint) if is_distributed(table.relation) else []:
            if one.contype.name.removeprefix("CONSTR_") in ("PRIMARY", "UNIQUE", "EXCLUSION", "FOREIGN"):
                yield inline.get(id(one)) or [part.sval for part in one.keys or one.fk_attrs or ()]


def broken(sql: str) -> dict[str, bool]:
    """Return for each rule whether a text breaks it."""
    t = parse_sql(sql)
    inserts = [one for one in inside(t, ast.InsertStmt) if is_distributed(one.relation)]
    upserts = [one for one in inserts if one.onConflictClause and one.onConflictClause.targetList]
    from_query = [one for one in upserts if not one.selectStmt.valuesLists]
    sets = [one for one in inside(t, ast.UpdateStmt, ast.OnConflictClause) if one.targetList]
    in_conflict = inside([one.onConflictClause for one in from_query], ast.ParamRef, ast.ColumnRef)
    sums = [one for one in inside(t, ast.A_Expr) if one.name[-1].sval in "+-"]
    changes = inside(t, ast.UpdateStmt, ast.DeleteStmt)
    choices = inside(changes, ast.CoalesceExpr, ast.CaseExpr)
    apart = {id(one) for one in inside(inside(changes, ast.SubLink), ast.CoalesceExpr, ast.CaseExpr)}
    settings = {one.name for one in inside(t, ast.VariableSetStmt)}
    settings |= {one.args[0].val.sval for one in inside(t, ast.FuncCall) if name_of(one)[-1] == "set_config"}
    homes = {RawStream()(home) for level in levels(t) for home in level.homes.values()}
    return {
        "many shards": len(homes) > 1 or not all(level.is_at_home() for level in levels(t)),
        "several statements": len(t) > 1,
        "no such thing": bool(inside(t, ast.CreateTrigStmt, ast.RuleStmt, ast.MergeStmt, ast.GroupingSet)),
        "recursion": any(one.recursive for one in inside(t, ast.WithClause)),
        "ctid": any(name_of(one)[-1] == "ctid" for one in inside(t, ast.ColumnRef)),
        "LIMIT in LATERAL": any(one.lateral and one.subquery.limitCount for one in inside(t, ast.RangeSubselect)),
        "keys": any("namespace" not in columns for columns in keys(t)),
        "joins": not all(level.is_joined() for level in levels(t)),
        # A cluster fetches the whole table for it, unless that names the namespace too.
        "outer joins": any(not (level.homes or all(map(is_distributed, level.outer))) for level in levels(t)),
        "inserts": any("namespace" not in [part.name for part in one.cols or ()] for one in inserts),
        "query in VALUES": any(inside(one.selectStmt.valuesLists or (), ast.SubLink) for one in inserts),
        "new namespace": any(part.name == "namespace" for one in sets for part in one.targetList),
        "locks": any(getattr(one.node, "lockingClause", None) and not one.is_at_home() for one in levels(t)),
        # A variable of PL/pgSQL is a name without a table.
        "upsert from a query": any(not name_of(one)[1:] for one in in_conflict),
        "rows of an upsert": any(not one.returningClause for one in from_query),  # their number would be wrong
        "SET": any(functions(one.targetList) - IMMUTABLE for one in sets),
        "WHERE of an upsert": any(functions(one.onConflictClause.whereClause) - IMMUTABLE for one in upserts),
        "WHERE": any(functions(one.whereClause) & VOLATILE for one in changes),
        "sums of times": any(TIMES & {name_of(one.lexpr)[-1], name_of(one.rexpr)[-1]} for one in sums),
        "COALESCE": any(functions(one) - IMMUTABLE for one in choices if id(one) not in apart),
        "RETURNING": any(type(one.val) is not ast.ColumnRef for c in inside(t, ast.ReturningClause) for one in c.exprs),
        "settings": bool(settings - {"search_path"}),  # they stay on the coordinator
        "colocation": "create_distributed_table" in functions(t) and not inside(t, ast.NamedArgExpr),
    }


UPSERT = "INSERT INTO items AS i (namespace, key, value) {} ON CONFLICT (namespace, key) DO UPDATE SET value = {} {}"
ONE, SOME = "VALUES ($1, $2, $3)", "SELECT * FROM unnest($1::text[], $2::text[], $3::json[])"
BAD = [
    ("many shards", "SELECT i.key FROM items i WHERE i.namespace >= $1"),
    ("many shards", "DELETE FROM items i WHERE i.namespace = $1 OR i.key = $2"),
    ("many shards", "SELECT FROM items i WHERE i.namespace = $1 UNION SELECT FROM vectors v WHERE v.namespace = $2"),
    ("many shards", "SELECT FROM items i WHERE i.namespace = $1 AND i.key IN (SELECT v.key FROM vectors v)"),
    ("several statements", "CREATE INDEX a ON items (key); CREATE INDEX b ON items (updated_at)"),
    ("no such thing", "CREATE TRIGGER a AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()"),
    ("no such thing", "MERGE INTO items i USING vectors v ON i.namespace = v.namespace WHEN MATCHED THEN DELETE"),
    ("no such thing", "SELECT count(*) FROM items GROUP BY GROUPING SETS ((namespace), (key))"),
    ("recursion", "WITH RECURSIVE a AS (SELECT i.key FROM items i UNION SELECT a.key FROM a) SELECT key FROM a"),
    ("ctid", "DELETE FROM items AS i WHERE i.ctid = ANY ($1)"),
    ("LIMIT in LATERAL", "SELECT FROM unnest($1) p JOIN LATERAL (SELECT LIMIT 1) l ON l.namespace = p.namespace"),
    ("keys", "CREATE TABLE items (namespace text, key text PRIMARY KEY, UNIQUE (namespace, key))"),
    ("keys", "CREATE UNIQUE INDEX a ON items (key)"),
    ("keys", "CREATE TABLE vectors (namespace text, key text REFERENCES items (key))"),
    ("keys", "ALTER TABLE vectors ADD FOREIGN KEY (key) REFERENCES items (key)"),
    ("joins", "SELECT FROM items i JOIN vectors v ON i.key = v.key"),
    ("joins", "SELECT FROM items i, vectors v WHERE i.namespace = v.namespace OR i.key = v.key"),
    ("joins", "SELECT FROM items i WHERE EXISTS (SELECT FROM vectors v WHERE v.key = i.key)"),
    ("joins", "DELETE FROM vectors v USING unnest($1) p (key) WHERE v.key = p.key"),
    ("outer joins", "SELECT FROM (SELECT FROM vectors LIMIT 5) v LEFT JOIN items i ON i.namespace = v.namespace"),
    ("inserts", "INSERT INTO items (key) VALUES ($1)"),
    ("query in VALUES", "INSERT INTO items (namespace, updated_at) VALUES ($1, (SELECT x.present()))"),
    ("new namespace", "UPDATE items SET namespace = $1 WHERE namespace = $2"),
    ("locks", "SELECT i.key FROM items i WHERE i.namespace >= $1 FOR UPDATE"),
    ("locks", "SELECT i.key FROM items i WHERE i.namespace = ANY ($1) FOR UPDATE SKIP LOCKED"),
    ("upsert from a query", UPSERT.format(SOME, "$4", "RETURNING i.key")),
    ("upsert from a query", UPSERT.format(SOME, "EXCLUDED.value", "WHERE i.updated_at < horizon RETURNING i.key")),
    ("rows of an upsert", UPSERT.format(SOME, "EXCLUDED.value", "")),
    ("SET", UPSERT.format(ONE, "to_json(now())", "")),
    ("SET", UPSERT.format(ONE, "to_json(x.present())", "")),
    ("SET", "UPDATE items SET updated_at = nextval('x.stamps') WHERE namespace = $1"),
    ("WHERE of an upsert", UPSERT.format(ONE, "EXCLUDED.value", "WHERE i.expires_at < x.present()")),
    ("WHERE", "DELETE FROM items i WHERE i.updated_at < x.draw_stamps(1, 1)"),
    ("COALESCE", "DELETE FROM items i WHERE i.expires_at < coalesce($1, x.present())"),
    ("COALESCE", "UPDATE items i SET value = $1 WHERE i.expires_at < CASE WHEN $1 THEN x.present() ELSE $2 END"),
    ("sums of times", "INSERT INTO items (namespace, expires_at) VALUES ($1, now() + $2)"),
    ("sums of times", "SELECT i.expires_at + interval '1 day' FROM items i"),
    ("RETURNING", "DELETE FROM items i WHERE i.namespace = $1 RETURNING i.expires_at > now()"),
    ("settings", "SELECT set_config('hnsw.ef_search', '100', true)"),
    ("colocation", "SELECT create_distributed_table('items', 'namespace')"),
]  # fmt: skip

EVERY = of_statements(is_cluster=True) | of_migrations() | of_modules()
EVERY |= {f"{name} without vectors": sql for name, sql in of_statements(is_cluster=True, vector_schema=None).items()}
EVERY |= {f"verify {n}": sql for n, (_, sql) in enumerate(verification.checks("x", "public"))}
EVERY |= {"verify items": verification.count_items("x"), "unusable": verification.UNUSABLE_INDEXES}


@pytest.mark.parametrize("name", EVERY)
def test_every_statement_keeps_the_rules(name: str) -> None:
    """It breaks none, but that those for more than one namespace ask many shards."""
    is_wide = name.split()[0] in MANY_SHARDS or any(repr(prefix) in name for prefix in WIDE)
    found = [rule for rule, is_broken in broken(EVERY[name]).items() if is_broken]
    assert found == ["many shards"] * is_wide, EVERY[name]


def test_nothing_is_left_out() -> None:
    """The parts that are hardest to find are among the statements."""
    inner = "".join(sql for name, sql in EVERY.items() if "FUNCTION x.write" in name and not sql.startswith("CREATE"))
    assert all(part in inner for part in ("INSERT INTO x.items", "INSERT INTO x.vectors", "FOR UPDATE", "DELETE FROM"))
    assert {rule for rule, _ in BAD} == set(broken("SELECT 1"))
    tables = {one.relation.relname for sql in EVERY.values() for one in inside(parse_sql(sql), ast.CreateStmt)}
    assert tables == {*DISTRIBUTED, "state"}, "a table of its own is either distributed or not: say which"


@pytest.mark.parametrize(("rule", "sql"), BAD)
def test_a_statement_that_breaks_a_rule_is_found(rule: str, sql: str) -> None:
    found = {rule for rule, is_broken in broken(sql).items() if is_broken}
    assert rule in found <= {rule, "many shards"}


def test_few_statements_differ_between_one_machine_and_a_cluster() -> None:
    here, there = of_statements(is_cluster=False), of_statements(is_cluster=True)
    assert {name.split()[0] for name in {*here, *there} if here.get(name) != there.get(name)} == ONE_MACHINE
