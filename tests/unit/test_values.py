"""Values: what may be stored, and what the error says about what may not."""

import collections
import datetime
import enum

import pytest

from crossthread import values
from crossthread.errors import InvalidValueError


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"when": [datetime.datetime.min]}, r"value\['when'\]\[0\]: datetime is not JSON"),
        ({"a": {"b": {1}}}, r"value\['a'\]\['b'\]: set is not JSON"),
        ({"t": (1, 2)}, r"value\['t'\]: tuple is not JSON"),
        ({"n": float("nan")}, r"value\['n'\]: nan is not JSON"),
        ({"n": float("inf")}, r"value\['n'\]: inf is not JSON"),
        ({"n": 2**63}, r"value\['n'\]: 9223372036854775808 does not fit into 64 bits"),
        ({"n": -(2**63) - 1}, "does not fit into 64 bits"),
        ({"n": 10**5000}, "this integer does not fit"),
        ({"s": "a\x00b"}, r"value\['s'\]: text holds NUL"),
        ({"s": "\ud800"}, "lone surrogate"),
        ({"k\x00": 1}, "text holds NUL"),
        ({1: 2}, "keys must be strings, not int"),
        ({"a": [{None: 1}]}, r"value\['a'\]\[0\]\[None\]: keys must be strings"),
        ([1], "must be a dict"),
        ("text", "must be a dict"),
        ({"b": b"x"}, "bytes is not JSON"),
        ({"o": object()}, "object is not JSON"),
    ],
)
def test_what_is_not_json_is_refused_with_its_path(value, message):
    with pytest.raises(InvalidValueError, match=message):
        values.encode(value)


def test_a_value_that_contains_itself_is_refused():
    value = {}
    value["self"] = value
    with pytest.raises(InvalidValueError, match="nested deeper"):
        values.encode(value)


def nested(depth):
    value = {"x": 1}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


def test_values_nest_as_deep_as_promised_and_no_deeper():
    deepest = nested(values.MAX_DEPTH)
    assert values.decode(values.encode(deepest)) == deepest
    with pytest.raises(InvalidValueError, match="200 levels"):
        values.encode(nested(values.MAX_DEPTH + 1))


def test_subclasses_come_back_as_their_plain_type():
    value = collections.OrderedDict(c=Colour.RED, n=Level.HIGH, d=collections.defaultdict(int, x=1))
    back = values.decode(values.encode(value))
    assert back == {"c": "red", "n": 3, "d": {"x": 1}}
    assert type(back["c"]) is str
    assert type(back["n"]) is int


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1.0, True])
def test_numbers_come_back_with_their_type_and_every_digit(number):
    back = values.decode(values.encode({"n": number}))["n"]
    assert back == number
    assert type(back) is type(number)
