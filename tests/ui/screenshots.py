"""Makes the pictures of the inspector in docs/images: a store of made-up people, a real Chromium, light and dark.

    pip install -e '.[dev]' && python tests/ui/screenshots.py

The store is the same every time, and so are the pictures, up to dates and the fonts of the machine. Needs the
command chromium (or google-chrome).
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from langgraph.func import entrypoint
from langgraph.store.base import PutOp
from playwright.sync_api import Page, sync_playwright

from crossthread import Memory, MemoryStore
from crossthread._clock import to_microseconds
from crossthread.testing import ManualClock
from crossthread.ui.inspected import open_inspected
from crossthread.ui.server import serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NOW = datetime.now(UTC)
INDEX = {"embed": "local", "mode": "hybrid", "fields": ["text"]}

PEOPLE = ["ada", "bashir", "chioma", "dmitri", "emi", "farah", "goran", "hana"]
# What is told of each kind, with what differs from person to person.
TOLD = {
    "food": [
        "Loves {pizza with mushrooms|dumplings|jollof rice|pelmeni|ramen|hummus|cevapi|bibimbap}.",
        "Is allergic to {peanuts; cashews are fine|shellfish|gluten|milk|soy|sesame|strawberries|eggs}.",
        "Drinks {black coffee before noon|green tea|ginger tea|kefir|cold barley tea|mint tea|espresso|oat milk}.",
        "Cooks {Thai curry on Sundays|lentil soup|stews in winter|fish on Fridays|rice bowls|salads|beans|noodles}.",
        "Wants recipes that take less than {half|an} hour, without {olives|onions|garlic|coriander|celery|beetroot}.",
        "Finds most {desserts too sweet|soups too salty|sauces too hot|cheese too strong|bread too dry}.",
    ],
    "travel": [
        "Takes the night train to {Vienna|Istanbul|Prague|Warsaw|Sapporo|Milan|Belgrade|Busan} whenever there is one.",
        "Wants {an aisle|a window} seat on {long|short|early|late} flights.",
        "Is planning two weeks in {Japan|Morocco|Portugal|Georgia|Peru|Iceland|Kenya|Greece} in {April|May|June|July}.",
        "Needs a visa for the trip to {Nairobi|Hanoi|Delhi|Cairo|Ankara|Accra|Jakarta|Lima}.",
        "Likes hotels close to {the station|the beach|a park|the airport|the old town}.",
        "Packs {one small bag|a bicycle|hiking boots|too many books|a tent}, whatever the trip.",
    ],
    "work": [
        "Leads the {payments|search|platform|design|data|mobile|support|security} team since {January|March|May|July}.",
        "Writes {Python|Rust|Go|TypeScript|Kotlin|SQL|Swift|Elixir} every day.",
        "Prefers {short written updates|calls|pull requests|diagrams|demos} to meetings.",
        "Is preparing a talk about {databases|testing|compilers|accessibility|statistics|networks} for the conference.",
        "Works from home on {Mondays|Tuesdays|Wednesdays|Thursdays|Fridays}.",
        "Is looking for a new {laptop|office|intern|monitor|keyboard} for the team.",
    ],
    "family": [
        "Has a {cat|dog|parrot|rabbit} called {Turing|Noether|Hopper|Euler|Curie|Gauss|Lovelace|Shannon}.",
        "Has {two daughters|a son|twins|three sons|a baby|a nephew} who {start school|turn five|sing} in autumn.",
        "Calls {her grandmother|his father|an uncle|both parents|a sister} every Sunday evening.",
        "Has a {brother|sister|cousin} who lives in {Toronto|Lagos|Osaka|Malmo|Quito|Perth|Dublin|Tunis}.",
        "Is getting married in {September|October|spring|May|August}.",
    ],
    "health": [
        "Runs {ten|five|eight|twelve} kilometres {twice|three times} a week.",
        "Has an appointment with the {dentist|doctor|optician|physiotherapist} on {Tuesday|Monday|Thursday}.",
        "Started {swimming|climbing|yoga|cycling|rowing} again after the {knee|back|shoulder} operation.",
        "Sleeps badly {in summer|when it is loud|before exams|on trains}.",
    ],
    "music": [
        "Plays the {cello|violin|oboe|trumpet|flute|piano} in an amateur orchestra.",
        "Listens to {jazz|techno|opera|afrobeat|folk|punk} while working.",
        "Has tickets for the {opera|festival|concert} in {June|July|December}.",
        "Is learning the {guitar|drums|accordion|ukulele} with an app.",
    ],
}


def told(template: str, turn: int) -> str:
    """Return what is told of one person."""
    return re.sub(r"\{(.*?)\}", lambda slot: (options := slot[1].split("|"))[turn % len(options)], template)


def fill(path: Path) -> None:
    """Write the memories of made-up people, as they would have come in the weeks before."""
    clock = ManualClock()
    puts: list[tuple[float, PutOp]] = []
    for turn, person in enumerate(PEOPLE):
        for kind, texts in TOLD.items():
            for at, template in enumerate(texts):
                if (at + turn) % 5 == 4 and person != "ada":
                    continue
                number = len(puts) + 1
                value = {
                    "text": told(template, turn),
                    "kind": kind,
                    "confidence": round(0.62 + (number * 17 % 37) / 100, 2),
                }
                if number % 4 == 0:
                    value["source"] = {"thread": f"{person}-{number}", "turns": [number % 7 + 1, number % 7 + 2]}
                ttl = 60 * 24 * 90 if kind == "travel" else None
                hours = 3.0 * ((number * 37) % 401) + 0.3
                puts.append((hours, PutOp(("memories", person), f"{kind}-{at + 1:02}", value, ttl=ttl)))
    with MemoryStore(path, index=INDEX, clock=clock) as store:
        for hours, put in sorted(puts, key=lambda put: -put[0]):  # a store's time never goes back
            clock.now_us = to_microseconds(NOW - timedelta(hours=hours))
            store.batch([put])
        clock.now_us = to_microseconds(NOW - timedelta(minutes=6))
        for person in PEOPLE[:5]:
            profile = {"text": f"Wants to be called {person.title()}.", "languages": ["en", "de"], "plan": "pro"}
            store.put(("profiles", person), "profile", profile)
        for team in ("payments", "search", "platform"):
            store.put(("teams", team, "decisions"), "style", {"text": "Small pull requests, reviewed within a day."})


def talk(path: Path) -> None:
    """Let a workflow have some conversations, so that there are threads."""
    with Memory(path, index=INDEX) as memory:

        @memory.entrypoint
        def chat(message: str, *, previous: list[str] | None, store, config):
            user = ("memories", config["configurable"]["user_id"])
            found = store.search(user, query=message, limit=1)
            reply = f"I remember: {found[0].value['text']}" if found else "I did not know that."
            return entrypoint.final(value=reply, save=[*(previous or []), message])

        for person, thread, messages in (
            ("bashir", "bashir-lunch", ["Where shall we have lunch?"]),
            ("chioma", "chioma-trip", ["Which bag shall I take?", "And the seat?"]),
            ("ada", "ada-monday", ["What can I cook tonight?", "Am I allergic to something?", "And for dessert?"]),
        ):
            for message in messages:
                chat.invoke(message, {"configurable": {"thread_id": thread, "user_id": person}})


@contextmanager
def shown(path: Path) -> Iterator[str]:
    """Serve the inspector of a store; yields the address."""
    inspected = open_inspected(path, index=INDEX)
    inspected.place = "agent.db"
    with serving(inspected) as address:
        yield address
    inspected.close()


class Shot(NamedTuple):
    """A picture: its name, where it is taken, how large it is, and in which schemes."""

    name: str
    path: str
    size: tuple[int, int]
    schemes: tuple[str, ...] = ("light", "dark")
    focus: str | None = None


SHOTS = [
    Shot("search", "/items?ns=memories&q=what+can+she+cook+without+peanuts&mode=hybrid", (1280, 800)),
    Shot("item", "/item?ns=memories.ada&key=food-04", (1280, 590), ("light",)),
    Shot("picture", "/picture?ns=memories&by=kind", (1280, 790), ("light",), focus='a[aria-label^="Cooks Thai"]'),
    Shot("thread", "/thread?id=ada-monday", (1280, 760), ("dark",)),
    Shot("forget", "/forget?ns=memories.ada", (1280, 500), ("light",)),
    Shot("narrow", "/items?ns=memories.ada", (375, 760), ("dark",)),
]


def take(page: Page, origin: str, shot: Shot, target: Path) -> None:
    """Take a picture."""
    page.set_viewport_size({"width": shot.size[0], "height": shot.size[1]})
    page.goto(f"{origin}{shot.path}")
    if shot.focus is not None:
        page.locator(shot.focus).first.focus()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=target)
    print(f"{target.name}: {target.stat().st_size // 1000} kB")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES, help="the folder (default: docs/images)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "agent.db"
        fill(path)
        talk(path)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            with shown(path) as address:
                page = browser.new_page(color_scheme=scheme)
                page.goto(address)
                page.wait_for_url("**/items")
                for shot in SHOTS:
                    if scheme in shot.schemes:
                        take(
                            page, address.split("/enter")[0], shot, options.out / f"inspector-{shot.name}-{scheme}.png"
                        )
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
