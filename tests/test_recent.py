"""What the page shows: the own request, then the 24 newest others."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gatebook.app.page import ROWS, Page, Seen
from gatebook.app.recent import Recent

PAGE = Page()


def seen(number: int, replica: str = "webapp-1") -> Seen:
    return Seen(f"{number:08x}-0000-7000-8000-000000000000", "GET", f"/{number}", "192.0.2.1", replica, 0)


def shown(html: bytes) -> list[int]:
    """The numbers of the requests on a page, from top to bottom."""
    return [int(found, 16) for found in re.findall(rb"href=\"?/?_/requests/([0-9a-f]{8})-0000-7000", html)]


@given(st.lists(st.lists(st.integers(0, 200), max_size=40), max_size=6), st.integers(0, 200))
def test_own_on_top_then_the_newest_others(batches: list[list[int]], own: int) -> None:
    recent = Recent(PAGE)
    for batch in batches:
        recent.learn(map(seen, batch))
        recent.html(seen(own), "http://h")  # what was rendered before does not linger
    others = sorted({number for batch in batches for number in batch} - {own}, reverse=True)
    assert shown(recent.html(seen(own), "http://h")) == [own, *others[: ROWS - 1]]


@given(st.lists(st.integers(0, 200), min_size=ROWS), st.integers(0, 200))
def test_the_spread_is_in_the_order_of_the_ids(numbers: list[int], own: int) -> None:
    """The newest at the right, wherever the own request stands among them."""
    recent = Recent(PAGE)
    recent.learn(seen(number, f"webapp-{number % 3}") for number in [*numbers, own])
    on_page = sorted(shown(recent.html(seen(own, f"webapp-{own % 3}"), "http://h")), reverse=True)
    assert PAGE.spread([f"webapp-{number % 3}" for number in on_page]) in recent.html(
        seen(own, f"webapp-{own % 3}"), "http://h"
    )


@given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_what_is_forgotten_is_on_no_page(numbers: set[int], gone: set[int], own: int) -> None:
    recent = Recent(PAGE)
    recent.learn(map(seen, numbers))
    recent.html(seen(own), "http://h")  # rendered before
    kept = sorted(numbers, reverse=True)[:ROWS]
    assert recent.ids == [seen(number).id for number in kept]
    recent.forget({seen(number).id for number in gone})
    others = [number for number in kept if number not in gone | {own}]
    assert shown(recent.html(seen(own), "http://h")) == [own, *others[: ROWS - 1]]
