"""docs/reference/cli.md is what the command line says of itself."""

from cli_reference import PAGE, page


def test_the_reference_is_up_to_date(monkeypatch):
    told = page()
    assert PAGE.read_text("utf-8") == told, "run: python tests/docs/cli_reference.py --write"
    assert "## threads copy" in told
    assert "| `--limit`, `-l` `N` | How many at the most. Default: `10`. |" in told
    assert "[`CROSSTHREAD_EMBED`]" in told
