"""Requests as they are recorded, each once, in the order of their commits, whatever restarts meanwhile.

The viewer's event stream has a position with everything that it tells. When it ends or breaks, the next one goes on
from the last position that was told whole (Last-Event-ID), so nothing is missed and nothing comes twice; half an event
counts for nothing.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from gatebook.cli.reading import shown
from gatebook.cli.reading.remote import Away, Gatebook, Query
from gatebook.cli.reading.revealing import reveal_query

_SILENCE_S = 45.0  # the viewer says something every 15 s
_LONGEST_WAIT_S = 2.0

Say = Callable[[str], None]


class Following:
    """What a filter finds from `begin` on. What becomes of the connection is told to `say`, once; `gap` are the words
    for a gap.
    """

    def __init__(
        self, gatebook: Gatebook, filter: str, say: Say, gap: str = "there is a gap", reveal: bool = False
    ) -> None:
        self._gatebook = gatebook
        self._query: Query = {"filter": filter, **reveal_query(reveal)}
        self._say = say
        self._gap = gap
        self._position: str | None = None
        self._wait_s = self._first_wait_s = 1.0
        self._lost = False
        self._coming = self._come()

    @property
    def is_live(self) -> bool:
        """Whether all that was recorded since `begin` has been told, as far as anybody knows."""
        return self._position is not None and not self._lost

    def begin(self) -> None:
        """Returns once nothing that is recorded from now on can be missed. Raises UserError."""
        while self._position is None:
            next(self._coming)

    def requests(self) -> Iterator[dict[str, Any]]:
        """One after the other, for ever. Raises UserError when going on is refused."""
        return (request for request in self._coming if request is not None)

    def _come(self) -> Iterator[dict[str, Any] | None]:
        """The requests, and a None whenever there may be a new position."""
        while True:
            try:
                yield from self._one_stream()
                raise Away("the stream has ended", "", True)
            except Away as away:
                if self._position is None and not away.is_there:
                    raise  # there was nobody from the beginning: more likely a wrong address than a restart
                self._note_lost(away)
            time.sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)

    def _one_stream(self) -> Iterator[dict[str, Any] | None]:
        from httpx_sse import EventSource, SSEError

        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._position} if self._position else {})
        with self._gatebook.stream("/events", self._query, headers, _SILENCE_S) as answer:
            try:
                for told in EventSource(answer).iter_sse():
                    self._note_back()
                    self._first_wait_s = told.retry / 1000 if told.retry else self._first_wait_s
                    request = self._request(told.event, told.data)
                    self._position = told.id or self._position
                    yield request
            except SSEError:
                answer.read()
                raise self._gatebook.stranger(answer) from None

    def _request(self, event: str, data: str) -> dict[str, Any] | None:
        if not data:
            return None  # a position alone
        found: dict[str, Any] = json.loads(data)
        if event == "request":
            return found
        if event == "gap":
            self._say(f"{self._gap}: {shown.text(str(found.get('detail')))}")
        return None

    def _note_lost(self, away: Away) -> None:
        if not self._lost:
            self._lost = True
            self._wait_s = self._first_wait_s
            self._say(f"not live: {away.what}; trying again")

    def _note_back(self) -> None:
        if self._lost:
            self._lost = False
            self._say("live again, where it stopped" if self._position else "live")
