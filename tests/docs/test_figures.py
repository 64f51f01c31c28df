"""The figures on the front pages are those of the page of benchmarks."""

import importlib

import pytest
from pages import ROOT


@pytest.fixture
def summary(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    return importlib.import_module("summary")


def test_the_front_pages_show_the_figures_of_the_benchmarks(summary):
    figures = summary.summary(summary.SOURCE.read_text("utf-8"))
    assert figures.count("\n") >= len(summary.ROWS) + 3
    for page in summary.PAGES:
        shown = summary.part(page.read_text("utf-8"), summary.TOPIC)
        assert shown.strip() == figures, f"run tests/benchmarks/summary.py: {page} has other figures"


def test_figures_are_taken_from_both_tables_without_their_ratios(summary):
    page = """\
<!-- benchmark file: begin -->
| | crossthread, file | LangGraph InMemoryStore |
| --- | ---: | ---: |
| put | 10 µs | 5.0 µs (0.5x) |
| recall@10, everything | 1.00 | |

10 items, Python 3.11, SQLite 3.40.1. Medians; in brackets: how many times slower.
<!-- benchmark file: end -->
<!-- benchmark postgres: begin -->
| | LangGraph PostgresStore |
| --- | ---: |
| put | 1,000 µs (2.2x) |

10 items, PostgreSQL 18.6, pgvector 0.8.6. Medians; in brackets: how many times slower.
<!-- benchmark postgres: end -->
"""
    assert summary.summary(page).splitlines() == [
        "| | crossthread, file | InMemoryStore | PostgresStore |",
        "| --- | ---: | ---: | ---: |",
        "| put | 10 µs | 5.0 µs | 1,000 µs |",
        "| of the right ten hits it finds | 1.00 | - | - |",
        "",
        "Medians: 10 items, Python 3.11, SQLite 3.40.1, PostgreSQL 18.6, pgvector 0.8.6.",
    ]
