"""The examples in docstrings run, and are where the reference shows them as code."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import crossthread

SOURCE = Path(crossthread.__file__).parent
FILES = {path: path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py"))}


def module_of(path):
    return ".".join(["crossthread", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")


@pytest.mark.parametrize("path", [pytest.param(path, id=module_of(path)) for path in FILES if ">>> " in FILES[path]])
def test_the_examples_of_a_module_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    module = importlib.import_module(module_of(path))
    public = {name: getattr(crossthread, name) for name in crossthread.__all__}  # an example need not import these
    failed, tried = doctest.testmod(module, extraglobs=public, optionflags=doctest.ELLIPSIS)
    assert failed == 0
    assert tried > 0


def test_examples_stand_under_a_title_that_the_reference_knows():
    """Under "Example:" what is typed would be shown as a quotation, in one line."""
    assert not [path for path, text in FILES.items() if re.search(r"^\s+Example:$", text, re.MULTILINE)]
