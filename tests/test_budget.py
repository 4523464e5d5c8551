"""Room for bodies: whoever has begun can finish, the others wait in turn, and not for ever."""

import asyncio
from collections.abc import Callable

import pytest

from gatebook.app import budget as budget_module
from gatebook.app.budget import SMALL_BYTES, Budget

LARGE = SMALL_BYTES + 1


def play(story: Callable[[], None]) -> None:
    async def run() -> None:
        story()

    asyncio.run(run())


def test_large_bodies_wait_in_turn_and_small_ones_never() -> None:
    def story() -> None:
        budget, told = Budget(3 * LARGE), []
        assert budget.take(2 * LARGE)
        assert not budget.take(2 * LARGE)
        budget.wait(2 * LARGE, lambda granted: told.append(("first", granted)))
        assert not budget.take(LARGE)  # it would fit, but somebody waits
        budget.wait(LARGE, lambda granted: told.append(("second", granted)))
        assert budget.take(SMALL_BYTES)
        budget.give(SMALL_BYTES)
        assert told == []
        budget.give(2 * LARGE)
        assert told == [("first", True), ("second", True)]
        assert budget.used == 3 * LARGE

    play(story)


def test_a_body_larger_than_the_budget_is_taken_when_it_is_alone() -> None:
    def story() -> None:
        budget, told = Budget(LARGE), []
        assert budget.take(10 * LARGE)
        budget.wait(10 * LARGE, told.append)
        budget.give(10 * LARGE)
        assert told == [True]

    play(story)


def test_who_has_gone_away_does_not_hold_up_the_others() -> None:
    def story() -> None:
        budget, told = Budget(LARGE), []
        assert budget.take(LARGE)
        gone = budget.wait(LARGE, told.append)
        budget.wait(LARGE, told.append)
        gone.cancel()
        budget.give(LARGE)
        assert told == [True]
        assert budget.used == LARGE

    play(story)


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "BUFFERED_WAIT_S", 0.01)

    async def story() -> None:
        budget = Budget(LARGE)
        assert budget.take(LARGE)
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        budget.wait(LARGE, told.set_result)
        assert await asyncio.wait_for(told, 10) is False
        budget.give(LARGE)
        assert budget.used == 0

    asyncio.run(story())
