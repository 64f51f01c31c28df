"""Contract section 2: what a value may hold, that it comes back equal, and that nothing is shared."""

from __future__ import annotations

import decimal
import enum
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from crossthread.errors import InvalidValueError
from crossthread.testing.suite.harness import Caller, SuiteBase, needs


class _Colour(str, enum.Enum):
    RED = "red"


class _Level(enum.IntEnum):
    LOW = 1


GOOD_VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "scalars": {"s": "x", "i": 1, "f": 1.5, "t": True, "n": None, "zero": 0, "false": False, "blank": ""},
    "nested": {"a": {"b": [{"c": [[], {}, [None, [1, "x"]]]}]}},
    "whole floats": {"one": 1.0, "big": 1e16, "list": [1, 1.0, True, 0, 0.0, False]},
    "64 bits": {"max": 2**63 - 1, "min": -(2**63), "beyond double": 2**53 + 1},
    "extreme floats": {"max": 1.7976931348623157e308, "tiny": 5e-324, "third": 1 / 3, "tenth": 0.1, "neg": -1e-7},
    "emoji": {"family": "👩‍👩‍👧‍👦😀", "bom": "\ufeffx"},
    "unicode": {"rtl": "שלום عليكم", "combining": "e\u0301é", "planes": "\uffff\U0010ffff"},
    "controls": {"s": "\x01\x1f\x7f\x80\u2028\n\r\t\b\f"},
    "escapes": {"quotes": "\"'`\\/", "escapes": "\\u0000 \\n \\ud800 &amp; %s {}"},
    "path keys": {"": 1, ".": 2, "a.b": 3, "$": 4, "$gt": 5, "a[0]": 6},
    "odd keys": {"'": 7, '"': 8, "\\": 9, " ": 10, "é": 11, "😀": 12},
    "json in text": {"s": '{"a": [1, 2]}', "n": "null", "number": "1"},
    "reserved words": {"key": 1, "value": 2, "namespace": 3, "created_at": 4, "score": 5, "rowid": 6},
    "long": {"s": "x" * 100_000, "l": list(range(5_000))},
    "order of keys": {"z": 1, "a": 2, "m": 3},
}  # fmt: skip

# The value, and what the message must name.
BAD_VALUES: dict[str, tuple[Any, str]] = {
    "datetime": ({"when": [datetime(2026, 1, 1, tzinfo=UTC)]}, "value['when'][0]: datetime is not JSON"),
    "date": ({"a": {"b": date(2026, 1, 1)}}, "value['a']['b']: date is not JSON"),
    "set": ({"s": {1}}, "value['s']: set is not JSON"),
    "bytes": ({"s": b"x"}, "value['s']: bytes is not JSON"),
    "tuple": ({"t": (1, 2)}, "value['t']: tuple is not JSON"),
    "nested tuple": ({"l": [[1], (1,)]}, "value['l'][1]: tuple is not JSON"),
    "object": ({"o": object()}, "value['o']: object is not JSON"),
    "class": ({"o": dict}, "value['o']"),
    "function": ({"o": len}, "value['o']"),
    "decimal": ({"d": decimal.Decimal("1.5")}, "value['d']: Decimal is not JSON"),
    "complex": ({"c": 1j}, "value['c']: complex is not JSON"),
    "uuid": ({"u": uuid.UUID(int=1)}, "value['u']: UUID is not JSON"),
    "array": ({"a": np.zeros(2)}, "value['a']: ndarray is not JSON"),
    "numpy integer": ({"a": np.int64(1)}, "value['a']: int64 is not JSON"),
    "nan": ({"f": float("nan")}, "value['f']"),
    "inf": ({"f": [1.0, float("inf")]}, "value['f'][1]"),
    "minus inf": ({"f": float("-inf")}, "value['f']"),
    "beyond 64 bits": ({"i": 2**63}, "value['i']"),
    "far beyond 64 bits": ({"i": 10**400}, "value['i']"),
    "below 64 bits": ({"i": [-(2**63) - 1]}, "value['i'][0]"),
    "NUL": ({"s": "a\0b"}, "value['s']"),
    "NUL in a key": ({"d": {"a\0b": 1}}, "value['d']"),
    "lone surrogate": ({"s": ["\ud800"]}, "value['s'][0]"),
    "lone surrogate in a key": ({"\udfff": 1}, "value"),
    "split pair": ({"s": "\ud83d" + "x" + "\ude00"}, "value['s']"),
    "pair of surrogates": ({"s": "\ud83d\ude00"}, "value['s']"),
    "number as key": ({"d": {1: "x"}}, "value['d']"),
    "None as key": ({None: "x"}, "value"),
    "tuple as key": ({"d": [{("a",): "x"}]}, "value['d'][0]"),
    "list": ([1], "value"),
    "text": ("x", "value"),
    "number": (5, "value"),
    "true": (True, "value"),
    "empty list": ([], "value"),
    "empty text": ("", "value"),
    "false": (False, "value"),
}


def _nested(levels: int) -> dict[str, Any]:
    """Return objects and lists inside each other, the outermost object being the first level."""
    value: Any = 1
    for level in range(levels, 1, -1):
        value = {"d": value} if level % 2 else [value]
    return {"d": value}


class Values(SuiteBase):
    """What goes in comes out equal, what is no JSON does not go in, and nothing is shared."""

    @pytest.mark.parametrize("kind", GOOD_VALUES)
    def test_what_goes_in_comes_out(self, store: Caller, kind: str) -> None:
        """A value comes back equal and of the same types, from get, from search and from batch."""
        value = GOOD_VALUES[kind]
        store.put(("v",), "k", value)
        expected = _typed(value)
        assert _typed(store.get(("v",), "k").value) == expected
        assert _typed(store.search(("v",))[0].value) == expected
        item, hits = store.batch([GetOp(("v",), "k"), SearchOp(("v",))])
        assert _typed(item.value) == _typed(hits[0].value) == expected

    @needs("strict_values")
    @pytest.mark.parametrize("kind", BAD_VALUES)
    def test_what_is_no_json_is_refused(self, store: Caller, kind: str) -> None:
        """What is not JSON raises InvalidValueError naming the path, alone or in a batch; nothing is written."""
        value, path = BAD_VALUES[kind]
        store.put(("v",), "old", {"n": 1})
        with pytest.raises(InvalidValueError) as caught:
            store.put(("v",), "old", value)
        assert path in str(caught.value)
        assert isinstance(caught.value, ValueError)
        with pytest.raises(InvalidValueError):
            store.batch([PutOp(("v",), "new", {"n": 1}), PutOp(("v",), "bad", value), PutOp(("v",), "old", None)])
        assert [(hit.key, hit.value) for hit in store.search(("v",))] == [("old", {"n": 1})]

    @needs("strict_values")
    def test_nesting_has_a_limit(self, store: Caller) -> None:
        """A value nests up to 200 levels deep; deeper ones and endless ones are refused, not crashed on."""
        store.put(("v",), "deep", _nested(200))
        assert json.dumps(store.get(("v",), "deep").value) == json.dumps(_nested(200))
        endless: dict[str, Any] = {}
        endless["self"] = [endless]
        for value in (_nested(202), _nested(5_000), endless):
            with pytest.raises(InvalidValueError):
                store.put(("v",), "deeper", value)
        assert store.get(("v",), "deeper") is None

    @needs("strict_values")
    def test_subclasses_come_back_plain(self, store: Caller) -> None:
        """Subclasses of JSON's types are stored as the plain type they extend."""
        store.put(
            ("v",),
            "k",
            OrderedDict(colour=_Colour.RED, level=_Level.LOW, number=np.float64(1.5), inner=[OrderedDict(a=1)]),
        )
        value = store.get(("v",), "k").value
        assert _typed(value) == _typed({"colour": "red", "level": 1, "number": 1.5, "inner": [{"a": 1}]})

    def test_an_update_replaces_the_whole_value(self, store: Caller) -> None:
        """A put replaces the value; fields of the earlier one do not shine through."""
        store.put(("v",), "k", {"a": 1, "b": 2})
        store.put(("v",), "k", {"a": 3})
        assert store.get(("v",), "k").value == {"a": 3}

    def test_a_delete_deletes(self, store: Caller) -> None:
        """A deleted item is gone for get and search; deleting nothing is fine; None as value deletes as well."""
        store.put(("v",), "k", {"a": 1})
        store.delete(("v",), "k")
        assert store.get(("v",), "k") is None
        assert store.search(("v",)) == []
        store.delete(("v",), "k")
        store.delete(("nowhere",), "k")
        store.put(("v",), "k", {"a": 1})
        store.put(("v",), "k", None)
        assert store.get(("v",), "k") is None

    @needs("isolation")
    def test_changing_what_was_passed_in_changes_nothing(self, store: Caller) -> None:
        """The store keeps its own copy of a value, all the way down, also where one value serves two puts."""
        value: dict[str, Any] = {"l": [1, {"d": 1}], "d": {"x": 1}}
        store.put(("v",), "k", value)
        store.batch([PutOp(("v",), "one", value), PutOp(("v",), "two", value)])
        value["l"][1]["d"] = 2
        value["new"] = []
        for key in ("k", "one", "two"):
            assert store.get(("v",), key).value == {"l": [1, {"d": 1}], "d": {"x": 1}}

    @needs("isolation")
    def test_changing_what_came_back_changes_nothing(self, store: Caller) -> None:
        """What get and search return is the caller's own, in one batch too."""
        expected = {"l": [1, {"d": 1}], "d": {"x": 1}}
        store.put(("v",), "k", expected)
        reads: list[Callable[[], Any]] = [
            lambda: store.get(("v",), "k"),
            lambda: store.search(("v",))[0],
            lambda: store.search(("v",), filter={"d": {"x": 1}})[0],
            lambda: store.batch([GetOp(("v",), "k"), GetOp(("v",), "k")])[0],
            lambda: store.batch([SearchOp(("v",)), GetOp(("v",), "k")])[0][0],
        ]
        for read in reads:
            item = read()
            item.value["l"][1]["d"] = 2
            item.value["d"]["x"] = 2
            item.value["new"] = 1
            assert store.get(("v",), "k").value == expected
            assert store.search(("v",), filter={"d": {"x": 2}}) == []
        one, two = store.batch([GetOp(("v",), "k"), GetOp(("v",), "k")])
        one.value["l"].append(3)
        assert two.value == expected

    @needs("isolation")
    def test_reading_creates_nothing(self, store: Caller) -> None:
        """Reading a namespace that does not exist does not make it exist."""
        assert store.get(("ghost",), "k") is None
        assert store.search(("ghost", "below")) == []
        store.delete(("ghost",), "k")
        store.batch([GetOp(("ghost",), "k"), SearchOp(("ghost",)), PutOp(("ghost",), "k", None)])
        assert store.list_namespaces() == []
        store.put(("real",), "k", {"n": 1})
        store.delete(("real",), "k")
        assert store.list_namespaces() == []


def _typed(value: Any) -> Any:
    """Return a value in a form that tells 1, 1.0 and True apart, and keeps the order of keys out of it."""
    if type(value) is dict:
        return {key: _typed(element) for key, element in value.items()}
    if type(value) is list:
        return [_typed(element) for element in value]
    return (type(value).__name__, value)
