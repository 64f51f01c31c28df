"""Links lead somewhere: those of the README and of every page to a file, and to a heading where they name one.

Nothing is fetched; addresses on the web are checked for their form.
"""

import textwrap
from urllib.parse import unquote, urlsplit

import pytest
from pages import PAGES, ROOT, anchors, links

RESERVED = ("example.com", "example.org", "localhost", "127.0.0.1")


def wrong(path, target):
    """Return what is wrong with the target of a link on a page; "" if nothing is."""
    address = urlsplit(target)
    if address.scheme == "mailto":
        return ""
    if address.scheme or address.netloc:
        if address.scheme != "https" or "." not in address.netloc or address.hostname in RESERVED:
            return "no address on the web that everybody can open"
        return ""
    file = (path.parent / unquote(address.path)).resolve() if address.path else path
    if not file.is_relative_to(ROOT) or not file.exists():
        return "there is no such file"
    if address.fragment and (file.suffix != ".md" or address.fragment not in anchors(file.read_text("utf-8"))):
        return f"{file.name} has no such heading"
    return ""


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES])
def test_the_links_of_a_page_lead_somewhere(path):
    complaints = [
        f"line {line}: {target}: {complaint}"
        for line, target in links(path.read_text("utf-8"))
        if (complaint := wrong(path, target))
    ]
    assert not complaints, "\n".join([str(path), *complaints])


def test_how_links_and_headings_are_found():
    page = textwrap.dedent("""\
        # What is *this*, `put()`?

        [a [nested] link](a.md#b "title") and [![image](b.svg)](c.md), `[code](no.md)`
        <a href="d.md"><img alt="" src="e.png"></a> <!-- [comment](no.md) -->

        ```text
        # no heading
        [block](no.md)
        ```

        [wiki](https://en.wikipedia.org/wiki/Rank_(linear_algebra)) [ref]

        [ref]: f.md

        # What is this, put?
        <a id="by-hand"></a>
        """)
    targets = [
        "a.md#b",
        "c.md",
        "b.svg",
        "d.md",
        "e.png",
        "https://en.wikipedia.org/wiki/Rank_(linear_algebra)",
        "f.md",
    ]
    assert sorted(target for _, target in links(page)) == sorted(targets)
    assert (3, "a.md#b") in links(page)
    assert anchors(page) == {"what-is-this-put", "what-is-this-put-1", "by-hand"}


@pytest.mark.parametrize(
    "target", ["missing.md", "README.md#missing", "../outside.md", "http://a.b/", "https://nowhere/"]
)
def test_what_leads_nowhere_is_told(target):
    assert wrong(ROOT / "README.md", target)
