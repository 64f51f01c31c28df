"""The public names, and what it costs to import them."""

import subprocess
import sys

import crossthread


def test_every_public_name_is_there_and_has_a_docstring():
    for name in crossthread.__all__:
        assert getattr(crossthread, name).__doc__, name
    assert set(crossthread.__all__) <= set(dir(crossthread))


def test_every_error_is_public():
    from crossthread import errors

    ours = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    assert ours <= set(crossthread.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(crossthread, "Memroy")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, crossthread; print([m for m in ('numpy', 'sqlite3', 'langgraph', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
