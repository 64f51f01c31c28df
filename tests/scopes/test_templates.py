"""Templates of scopes: what is one, where its ids come from, and how they become labels and back."""

import enum
import uuid
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TypedDict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.runtime import Runtime, ServerInfo
from pydantic import BaseModel

from crossthread import ConfigurationError, Scope, ScopeError, namespaces
from crossthread.scopes.template import decode_id, encode_id

SCOPE = Scope("memories", "{user_id}")

ids = st.text(
    st.characters(categories=("Cs", "Lu", "Ll", "Nd", "Po", "Cc", "Mn"))
    | st.sampled_from([".", "\0", "%", "*", "\\", "2", "E", "\ud83d", "\ude00", "😀"]),
    min_size=1,
    max_size=8,
)


def run(**configurable):
    return {"configurable": configurable}


@given(ids)
@example("bob@example.com")
@example("\ud83d\ude00")
@example("%2E")
def test_any_string_is_an_id_and_can_be_read_back(id_):
    namespace = SCOPE.resolve(run(user_id=id_))
    assert SCOPE.ids(namespace) == {"user_id": id_}
    assert decode_id(encode_id(id_)) == id_
    namespaces.checked(namespace)
    namespace[1].encode("utf-8")  # any database can hold it
    assert "*" not in namespace[1]


@given(ids, ids)
@example("a.b", "a%2Eb")
@example("\ud83d\ude00", "😀")
@example("é", "e\u0301")
@example("langgraph", "%6Canggraph")
@pytest.mark.parametrize(
    "labels", [("memories", "{user_id}"), ("{user_id}",), ("lang{user_id}", "x"), ("u-{user_id}-m",)]
)
def test_two_ids_never_share_a_namespace_and_none_lies_below_another(labels, one, other):
    scope = Scope(*labels)
    first, second = scope.resolve(run(user_id=one)), scope.resolve(run(user_id=other))
    assert (first == second) == (one == other)
    assert len(first) == len(second)
    assert scope.ids(first) == {"user_id": one}
    assert first[0] != "langgraph"


def test_ids_that_need_no_encoding_stay_readable():
    for id_ in ("ada", "bob@example", "Zoë", "a b", "用户", "a/b:c-d_e", "123", "😀"):
        assert SCOPE.resolve(run(user_id=id_)) == ("memories", id_)
    assert SCOPE.resolve(run(user_id="bob@example.com")) == ("memories", "bob@example%2Ecom")
    assert SCOPE.resolve(run(user_id="100%")) == ("memories", "100%25")
    assert SCOPE.resolve(run(user_id="*")) == ("memories", "%2A")
    assert SCOPE.resolve(run(user_id="a\\b")) == ("memories", "a%5Cb")


@given(ids, ids)
def test_several_fields_each_have_a_label(tenant, user):
    scope = Scope("{tenant}", "notes", "user-{user_id}")
    namespace = scope.resolve(run(tenant=tenant, user_id=user))
    assert scope.fields == ("tenant", "user_id")
    assert scope.ids(namespace) == {"tenant": tenant, "user_id": user}
    assert scope.ids((*namespace, "below")) == {"tenant": tenant, "user_id": user}


@pytest.mark.parametrize(
    "namespace",
    [(), ("memories",), ("notes", "ada"), ("memories", "a%2eb"), ("memories", "%FF"), ("memories", "%41")],
)
def test_namespaces_of_no_id_are_told(namespace):
    assert SCOPE.ids(namespace) is None


def test_a_field_may_stand_twice():
    scope = Scope("{u}", "of-{u}")
    assert scope.resolve(run(u="ada")) == ("ada", "of-ada")
    assert scope.fields == ("u",)
    assert scope.ids(("ada", "of-ada")) == {"u": "ada"}
    assert scope.ids(("ada", "of-bob")) is None


def test_braces_can_be_written():
    assert Scope("{{a}}", "{{{u}}}").resolve(run(u="x")) == ("{a}", "{x}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((), "at least one label"),
        (("memories", ""), "not empty"),
        (("*", "{u}"), "not '\\*'"),
        (("a.b", "{u}"), "period"),
        (("a\0", "{u}"), "NUL"),
        (("{u}.x",), "period"),
        (("{}",), "plain name"),
        (("{0}",), "plain name"),
        (("{user.name}",), "plain name"),
        (("{user[id]}",), "plain name"),
        (("{u!r}",), "plain name"),
        (("{u:>3}",), "plain name"),
        (("{u",), "braces"),
        (("{a}-{b}",), "two fields"),
        (("memories", 3), "labels are text"),
        (("langgraph", "{u}"), "keeps for itself"),
    ],
)
def test_what_is_no_template_is_refused(labels, message):
    with pytest.raises(ConfigurationError, match=message):
        Scope(*labels)


# Where ids come from


@dataclass
class AContext:
    user_id: str | None = None


class AModel(BaseModel):
    user_id: str | None = None


class ADict(TypedDict):
    user_id: str


class AUser:
    """As the LangGraph server's: attributes, and the same by key."""

    def __init__(self, **known):
        self.known = {"is_authenticated": True, "permissions": [], **known}

    identity = property(lambda self: self.known["identity"])
    is_authenticated = property(lambda self: self.known["is_authenticated"])

    def __getitem__(self, key):
        return self.known[key]

    def __contains__(self, key):
        return key in self.known


CONTEXTS = [
    AContext("ctx"),
    AModel(user_id="ctx"),
    ADict(user_id="ctx"),
    {"user_id": "ctx"},
    SimpleNamespace(user_id="ctx"),
]
USERS = [AUser(identity="in"), {"identity": "in"}, SimpleNamespace(identity="in", is_authenticated=True)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_context_goes_before_the_config(context):
    assert SCOPE.resolve(run(user_id="cfg"), context=context) == ("memories", "ctx")
    assert SCOPE.resolve(context=context) == ("memories", "ctx")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("context", [*CONTEXTS, None])
def test_the_signed_in_user_goes_before_all(user, context):
    assert SCOPE.resolve(run(user_id="cfg", langgraph_auth_user=user), context=context) == ("memories", "in")
    info = Runtime(server_info=ServerInfo("a", "g", AUser(identity="in")), context=context)
    assert SCOPE.resolve(run(user_id="cfg", __pregel_runtime=info)) == ("memories", "in")


def test_the_id_of_a_signed_in_user_may_stand_alone():
    assert SCOPE.resolve(run(user_id="cfg", langgraph_auth_user_id="in")) == ("memories", "in")


@pytest.mark.parametrize("user", [{}, {"langgraph_auth_user": {"identity": "in"}}])
def test_a_scope_by_the_platforms_own_name_of_the_id_cannot_be_claimed(user):
    scope = Scope("{langgraph_auth_user_id}")
    signed_in = run(langgraph_auth_user_id="in", **user)
    assert scope.resolve(signed_in, context={"langgraph_auth_user_id": "eve"}) == ("in",)


def test_what_else_the_platform_knows_of_a_user_goes_first_too():
    scope = Scope("{org}", "{user_id}", "{thread_id}")
    claims = run(user_id="eve", org="theirs", thread_id="1", langgraph_auth_user=AUser(identity="in", org="acme"))
    assert scope.resolve(claims, context={"org": "theirs"}) == ("acme", "in", "1")


def test_nobody_is_signed_in_where_a_platform_has_no_sign_in():
    nobody = AUser(identity="", is_authenticated=False)
    assert SCOPE.resolve(run(user_id="cfg", langgraph_auth_user=nobody)) == ("memories", "cfg")


@pytest.mark.parametrize("user", [AUser(identity=""), {"identity": ""}, {"name": "x"}, AUser(identity=None)])
def test_a_signed_in_user_without_identity_is_nobody_else(user):
    with pytest.raises(ScopeError, match="'user_id'") as raised:
        SCOPE.resolve(run(user_id="cfg", langgraph_auth_user=user))
    assert raised.value.field == "user_id"


@pytest.mark.parametrize("context", [AContext(), AModel(), {}, {"user_id": None}, object()])
def test_a_context_that_names_nobody_leaves_it_to_the_config(context):
    assert SCOPE.resolve(run(user_id="cfg"), context=context) == ("memories", "cfg")


class Name(enum.StrEnum):
    ADA = "ada"

    def __str__(self):
        return "somebody else"


def test_a_kind_of_string_is_the_text_it_holds():
    assert SCOPE.resolve(run(user_id=Name.ADA)) == ("memories", "ada")
    assert type(SCOPE.resolve(run(user_id=Name.ADA))[1]) is str


@pytest.mark.parametrize(
    ("config", "context", "message"),
    [
        (None, None, "names none"),
        ({}, None, "names none"),
        (run(), None, "names none"),
        (run(user_id=None), None, "names none"),
        (run(user_id=""), None, "empty"),
        (run(user_id="cfg"), {"user_id": ""}, "empty"),
        (run(user_id=7), None, "int"),
        (run(user_id=uuid.UUID(int=7)), None, "UUID"),
        (run(user_id=b"ada"), None, "bytes"),
        (run(user_id=False), None, "bool"),
        (run(user_id=["ada"]), None, "list"),
    ],
)
def test_a_missing_or_unusable_id_is_an_error_that_names_its_field(config, context, message):
    with pytest.raises(ScopeError, match=message) as raised:
        SCOPE.resolve(config, context=context)
    assert "'user_id'" in str(raised.value)
    assert raised.value.field == "user_id"
    assert isinstance(raised.value, ValueError)
