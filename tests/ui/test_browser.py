"""The inspector in a real Chromium: what a person sees and does.

Every test also fails on dialogs, on errors of scripts, on violations of the policy, and on a request to any other place
(see the fixture ``site``).
"""

import json
import re

import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore

ADA = ("memories", "ada")
KINDS = ["food", "travel", "work"]


@pytest.fixture
def ada(store):
    """Some memories of two users."""
    for number in range(24):
        kind = KINDS[number % 3]
        store.put(ADA, f"{kind}-{number:02}", {"text": f"{kind} memory {number}", "kind": kind})
    store.put(("memories", "bob", "work"), "k", {"text": "Bob reviews code"})
    return store


def said(page):
    return page.locator(".said").all_inner_texts()


# The main paths


def test_from_the_tree_to_an_item(ada, site):
    opened = site(ada)
    page = opened.page
    page.get_by_role("button", name="What is below memories").click()
    page.get_by_role("link", name="ada 24").click()
    page.wait_for_url("**/items?ns=memories.ada")
    assert len(said(page)) == 24
    assert page.get_by_role("link", name="ada 24").get_attribute("aria-current") == "true"
    page.get_by_role("link", name="work memory 23").click()
    page.wait_for_url("**/item?*")
    assert page.get_by_role("heading", level=1).inner_text() == "work-23"
    page.locator(".crumbs").get_by_role("link", name="Everything").click()
    assert page.locator(".sum").inner_text() == "25 memories in 2 namespaces"


def test_branches_open_and_close(ada, site):
    page = site(ada).page
    turn = page.get_by_role("button", name="What is below memories")
    assert page.get_by_role("link", name="bob 1").count() == 0
    turn.click()
    page.get_by_role("link", name="bob 1").wait_for()
    assert turn.get_attribute("aria-expanded") == "true"
    page.get_by_role("button", name="What is below bob").click()
    page.get_by_role("link", name="work 1").wait_for()
    turn.click()
    page.get_by_role("link", name="bob 1").wait_for(state="hidden")
    assert turn.get_attribute("aria-expanded") == "false"
    turn.click()
    assert page.get_by_role("link", name="work 1").is_visible()


def test_pages_of_a_hundred_thousand_items(bulk, site):
    page = site(bulk, read_only=True).page
    assert len(said(page)) == 50
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**page=2")
    assert said(page)[0] == "memory 99949"
    page.get_by_role("link", name="Newer").click()
    page.wait_for_url(lambda url: "page=" not in url)
    assert said(page)[0] == "memory 99999"
    sizes = page.evaluate("performance.getEntriesByType('navigation').map((one) => one.decodedBodySize)")
    assert sizes[0] < 60_000
    assert page.evaluate("document.querySelectorAll('*').length") < 1500


def test_more_namespaces_come_when_they_are_asked_for(closing, site):
    store = closing.enter_context(MemoryStore())
    store.batch([PutOp((f"u{number:05}",), "k", {"text": "x"}) for number in range(10_000)])
    page = site(store).page
    assert page.locator(".tree .row").count() == 200
    page.get_by_role("button", name="Show more (9,800 left)").click()
    page.get_by_role("button", name="Show more (9,600 left)").wait_for()
    assert page.locator(".tree .row").count() == 400
    assert page.evaluate("document.activeElement.textContent").startswith("u00200")
    page.get_by_role("searchbox", name="Find a namespace").fill("u0999")
    page.keyboard.press("Enter")
    page.wait_for_url("**/namespaces?find=u0999")
    assert page.locator(".plainlist li").count() == 10


def test_a_search_shows_bars(ada, site):
    page = site(ada).page
    page.get_by_role("searchbox", name="Search by text").fill("travel memory 4")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=travel*")
    assert said(page)[0] == "travel memory 4"
    card = page.locator(".card").first
    widths = {
        kind: card.locator(f".fill.{kind}").bounding_box()["width"]
        / card.locator(".track").first.bounding_box()["width"]
        for kind in ("whole", "meaning", "words")
    }
    assert widths["words"] == pytest.approx(1.0, abs=0.01)
    hit = ada.search((), query="travel memory 4", mode="hybrid", explain=True)[0]
    assert widths["meaning"] == pytest.approx(hit.semantic, abs=0.01)
    assert "travel" in card.locator(".terms").inner_text()
    page.get_by_role("combobox", name="How to search").select_option("keyword")
    page.get_by_role("textbox", name="Filter, as JSON").fill('{"kind": "food"}')
    page.keyboard.press("Enter")
    page.wait_for_url("**filter=%7B*")
    assert {text.split()[0] for text in said(page)} == {"food"}


def test_a_wrong_filter_is_told_beside_the_field(ada, site):
    opened = site(ada)
    opened.page.get_by_role("textbox", name="Filter, as JSON").fill("{kind: food}")
    opened.page.keyboard.press("Enter")
    opened.page.get_by_role("alert").wait_for()
    assert "not JSON" in opened.page.get_by_role("alert").inner_text()
    field = opened.page.get_by_role("textbox", name="Filter, as JSON")
    assert field.input_value() == "{kind: food}"
    assert field.get_attribute("aria-describedby") == "problem"


def test_an_edit(ada, site):
    opened = site(ada)
    page = opened.page
    opened.open("/item?ns=memories.ada&key=food-00")
    page.get_by_role("link", name="Edit").click()
    field = page.get_by_role("textbox", name="The value, as JSON")
    assert json.loads(field.input_value()) == {"text": "food memory 0", "kind": "food"}
    field.fill('{"text": "dumplings", "kind": "food" 1}')
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").wait_for()
    assert "column 38" in page.get_by_role("alert").inner_text()
    assert field.input_value() == '{"text": "dumplings", "kind": "food" 1}'
    field.fill('{"text": "dumplings", "kind": "food"}')
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()
    assert page.get_by_role("status").inner_text() == "Saved."
    assert ada.get(ADA, "food-00").value == {"text": "dumplings", "kind": "food"}
    assert ada.search(ADA, query="dumplings", mode="semantic", limit=1)[0].key == "food-00"


def test_deleting_and_forgetting_ask_first(ada, site):
    opened = site(ada)
    page = opened.page
    opened.open("/item?ns=memories.ada&key=food-00")
    page.get_by_role("link", name="Delete…").click()
    assert page.get_by_role("alertdialog").inner_text().startswith("Delete this memory of memories.ada?")
    assert page.evaluate("document.activeElement.textContent") == "Keep it"
    page.get_by_role("link", name="Keep it").click()
    assert ada.count(ADA) == 24
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete 1 memory").click()
    page.get_by_role("status").wait_for()
    assert ada.count(ADA) == 23
    page.get_by_role("link", name="Forget…").click()
    page.get_by_role("button", name="Forget 23 memories").click()
    page.get_by_role("status").wait_for()
    assert page.get_by_role("status").inner_text() == "Forgot 23 memories."
    assert page.locator(".tree").inner_text().split() == ["Everything", "1", "memories", "1", "bob", "1"]
    assert ada.count() == 1


def test_read_only_has_no_way_to_write(ada, site):
    opened = site(ada, read_only=True)
    opened.open("/item?ns=memories.ada&key=food-00")
    assert opened.page.get_by_text("read-only").is_visible()
    assert opened.page.get_by_role("link", name="Edit").count() == 0
    opened.page.keyboard.press("e")
    status = opened.page.evaluate(
        "fetch('/delete?ns=memories.ada&key=food-00', {method: 'POST'}).then((one) => one.status)"
    )
    assert status == 403
    assert ada.count() == 25
    assert len(opened.troubles) == 1  # the request above
    opened.troubles.clear()


def test_the_picture_tells_what_a_point_is(ada, site):
    opened = site(ada)
    page = opened.page
    opened.open("/picture?ns=memories.ada")
    points = page.locator(".picture a")
    assert points.count() == 24
    label = page.locator(".hover")
    assert not label.is_visible()
    points.nth(3).hover(force=True)
    assert label.is_visible()
    assert label.locator(".words").inner_text() == points.nth(3).get_attribute("aria-label")
    colours = page.evaluate(
        "[...document.querySelectorAll('.picture circle')].map((one) => getComputedStyle(one).fill)"
    )
    assert len(set(colours)) == 3
    page.get_by_role("combobox", name="Colour by").select_option("key")
    page.wait_for_url("**by=key")
    page.locator(".picture a").nth(3).click(force=True)
    page.wait_for_url("**/item?*")


# The keyboard


def test_the_keyboard_reaches_everything(ada, site):
    opened = site(ada)
    page = opened.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("/?jk")
    assert page.get_by_role("searchbox", name="Search by text").input_value() == "/?jk"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == said(page)[1]
    page.keyboard.press("Enter")
    page.wait_for_url("**/item?*")
    page.keyboard.press("e")
    page.wait_for_url("**/edit?*")
    opened.open("/items")
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.className").startswith("every")
    page.keyboard.press("?")
    page.wait_for_url("**/keys")


def test_tab_goes_through_the_page_in_order_and_shows_where_it_is(ada, site):
    opened = site(ada)
    page = opened.page
    opened.open("/items?ns=memories.ada")
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
        outline = page.evaluate(
            "[getComputedStyle(document.activeElement), getComputedStyle(document.activeElement, '::after')]"
            ".some((style) => style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2)"
        )
        assert outline, seen[-1]
    assert seen[0] == "Skip to the content"
    order = ["Skip to the content", "Memories", "find", "Everything25", "Forget…", "q", "mode", "filter"]
    assert [each for each in seen if each in order] == [each for each in order if each in seen]
    page.evaluate("document.activeElement.blur()")


def test_arrows_walk_through_the_picture(ada, site):
    opened = site(ada)
    page = opened.page
    opened.open("/picture?ns=memories.ada")
    page.locator('.picture a[tabindex="0"]').focus()
    xs = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        xs.append(page.evaluate("document.activeElement.firstElementChild.cx.baseVal.value"))
        assert page.locator('.picture a[tabindex="0"]').count() == 1
    assert xs == sorted(xs)
    assert page.locator(".hover").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/item?*")


# Looks


def contrast(page, selector):
    """The contrast of a text with what is behind it, as WCAG 2 defines it."""
    return page.evaluate(
        """(selector) => {
        const luminance = (colour) => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
                .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const element = document.querySelector(selector);
        let behind = element;
        while (getComputedStyle(behind).backgroundColor.endsWith(", 0)")) behind = behind.parentElement;
        const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(ada, site, scheme):
    opened = site(ada, color_scheme=scheme)
    page = opened.page
    opened.open("/items?ns=memories&q=food")
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(lightness) > 600) == (scheme == "light")
    texts = ["h1", ".said", ".meta .code", ".meta a", ".chips dt", ".count", ".tree .here", ".button.danger", ".number"]
    for selector in [*texts, ".terms i", ".crumbs a", ".top nav a", ".place", ".sum", ".legend span"]:
        assert contrast(page, selector) >= 4.5, selector
    opened.open("/forget?ns=memories.ada")
    for selector in ("button.danger", ".confirm .hint", ".affected span"):
        assert contrast(page, selector) >= 4.5, selector


NARROW = [
    "/items?ns=memories.ada",
    "/items?q=food",
    "/item?ns=memories.ada&key=food-00",
    "/edit?ns=memories.ada&key=food-00",
]
NARROW += ["/forget?ns=memories", "/picture", "/keys", "/namespaces?find=a", "/item?ns=x&key=y"]


def test_narrow_screens_need_no_scrolling_sideways(ada, site):
    long = "w" * 400
    ada.put((long, "n"), long, {"text": long, long: {long: [long]}})
    opened = site(ada, viewport={"width": 375, "height": 760})
    page = opened.page
    item = ada.search((long,))[0]
    for path in [*NARROW, f"/items?ns={long}.n", f"/item?ns={long}.n&key={long}", f"/delete?ns={long}.n&key={long}"]:
        opened.open(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375, path
    assert item.key == long
    opened.open("/items")
    assert not page.locator(".tree").is_visible()
    page.locator(".fold summary").click()
    assert page.get_by_role("link", name="Everything").first.is_visible()


def test_everything_that_acts_has_a_name(ada, site):
    opened = site(ada)
    for path in ("/items?ns=memories.ada&q=food", "/picture", "/edit?ns=memories.ada&key=food-00"):
        opened.open(path)
        nameless = opened.page.evaluate(
            """[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
            .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))
            .map((one) => one.outerHTML)"""
        )
        assert nameless == []
        assert opened.page.locator("h1").count() == 1
        assert opened.page.locator("html").get_attribute("lang") == "en"


# Hostile values

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    "<img src=x onerror=alert(1)><svg onload=alert(1)>",
    '"><input autofocus onfocus=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</textarea>" + SCRIPT,
    "{{ 7 * 7 }} {% raw %}",
    "<!-- comment",
    "&lt;b&gt; &amp;",
    "]]><![CDATA[",
    "https://evil.example/x.png",
]


@pytest.fixture
def hostile(store):
    """Each hostile text as label, key, name, and value."""
    for text in HOSTILE:
        value = {"text": text, text: {text: text}, "kind": text}
        store.put((text.replace(".", "·"), "n"), text, value, index=["text"])
    return store


def test_html_and_scripts_are_texts_in_lists_and_pictures(hostile, site):
    opened = site(hostile)
    page = opened.page
    assert said(page) == HOSTILE[::-1]
    labels = [text.replace(".", "·") for text in HOSTILE]
    assert sorted(page.locator(".tree ul .label").all_inner_texts()) == sorted(text[:60] for text in labels)
    page.get_by_role("button", name=re.compile("^What is below")).first.click()
    page.get_by_role("link", name="n 1").wait_for()
    opened.open("/picture")
    points = page.locator(".picture a")
    assert sorted(points.nth(at).get_attribute("aria-label") for at in range(len(HOSTILE))) == sorted(HOSTILE)
    for at in range(len(HOSTILE)):
        points.nth(at).focus()
        assert page.locator(".hover .words").inner_text() == points.nth(at).get_attribute("aria-label")
    assert set(HOSTILE[:8]) & set(page.locator(".swatch bdi").all_inner_texts())
    page.get_by_role("searchbox", name="Find a namespace").fill("<script>")
    page.keyboard.press("Enter")
    page.wait_for_url("**/namespaces*")
    assert page.locator(".plainlist a").count() == 2
    assert "<script>" in page.locator(".sum").inner_text()
    for text in (SCRIPT, '"><b>{{7*7}}'):
        opened.open("/items")
        page.get_by_role("searchbox", name="Search by text").fill(text)
        page.get_by_role("textbox", name="Filter, as JSON").fill(text)
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert page.get_by_role("searchbox", name="Search by text").input_value() == text
        assert page.get_by_role("textbox", name="Filter, as JSON").input_value() == text


def test_html_and_scripts_are_texts_on_an_items_pages(hostile, site):
    opened = site(hostile)
    page = opened.page
    for number, text in enumerate(HOSTILE[::-1]):
        opened.open("/items")
        page.locator(".said").nth(number).click()
        page.wait_for_url("**/item?*")
        assert page.locator("h1").inner_text() == text
        assert page.locator(".outline .text").all_inner_texts() == [text, text, text]
        page.keyboard.press("e")
        page.wait_for_url("**/edit?*")
        assert json.loads(page.locator("textarea").input_value()) == {"text": text, text: {text: text}, "kind": text}


def test_a_hostile_namespace_is_forgotten_like_any_other(hostile, site):
    opened = site(hostile)
    page = opened.page
    page.get_by_role("link", name=SCRIPT).first.click()
    page.get_by_role("link", name="Forget…").click()
    assert SCRIPT in page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("button", name="Forget 1 memory").click()
    page.get_by_role("status").wait_for()
    assert hostile.count() == len(HOSTILE) - 1


def test_bidirectional_texts_move_nothing_beside_them(store, site):
    evil = "safe\u202egnp.exe \u2066x \u200e\u061c abc\u05d0\u05d1"
    store.put(ADA, "k", {"text": evil, "a\u202eb": "c"})
    opened = site(store)
    page = opened.page
    assert "U+202E" in page.locator(".said").inner_text()
    opened.open("/item?ns=memories.ada&key=k")
    shown = page.locator("main").inner_text()
    assert not set(shown) & set("\u202e\u2066\u200e\u061c")
    assert page.locator(".odd").first.get_attribute("title") == "RIGHT-TO-LEFT OVERRIDE"
    boxes = page.evaluate(
        """[...document.querySelectorAll('.outline li')].map((line) => [...line.children]
        .map((part) => part.getBoundingClientRect().left))"""
    )
    assert all(left == sorted(left) for left in boxes)
    isolated = page.evaluate("[...document.querySelectorAll('bdi')].map((one) => getComputedStyle(one).unicodeBidi)")
    assert set(isolated) == {"isolate"}


def test_huge_and_deep_values_have_a_page(store, site):
    store.put(ADA, "long", {"text": "x" * 10_000_000}, index=False)
    deep = 1
    for _ in range(199):
        deep = {"inside": deep}
    store.put(ADA, "deep", deep, index=False)
    store.put(ADA, "wide", {f"field {number}": number for number in range(20_000)}, index=False)
    opened = site(store)
    page = opened.page
    assert page.locator(".card").count() == 3
    assert len(page.content()) < 50_000
    opened.open("/item?ns=memories.ada&key=long")
    assert "9,980,000 more characters" in page.locator(".outline").inner_text()
    assert len(page.content()) < 500_000
    with page.expect_download() as download:
        page.locator("summary", has_text="As JSON").click()
        page.get_by_role("link", name="Save as a file").click()
    assert json.loads(download.value.path().read_text("utf-8")) == {"text": "x" * 10_000_000}
    opened.open("/edit?ns=memories.ada&key=long")
    assert "too many for a field" in page.get_by_role("alert").inner_text()
    opened.open("/item?ns=memories.ada&key=deep")
    assert page.locator(".outline li").count() == 199
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    opened.open("/edit?ns=memories.ada&key=deep")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").wait_for()
    opened.open("/item?ns=memories.ada&key=wide")
    assert page.locator(".outline li").count() == 501


def test_the_token_is_used_up_and_not_kept_in_the_history(ada, site):
    opened = site(ada)
    token = next(url for url in opened.requests if "/enter" in url)
    assert opened.page.evaluate("document.cookie") == ""
    assert opened.page.evaluate("history.length") <= 2
    other = opened.page.context.browser.new_context()
    try:
        assert other.new_page().goto(token).status == 401
    finally:
        other.close()
