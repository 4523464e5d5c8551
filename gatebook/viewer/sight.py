"""What whoever asks is to see of what clients sent: masked, or revealed because they say so.

Rules: nothing is revealed that is not noted in the trail first. Another site's page cannot make a browser reveal
anything. It would not see it in any case, but the note would say what nobody wanted; over plain http, where browsers do
not tell whose page asks, such a note is possible.
"""

from functools import lru_cache
from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from gatebook.redact import NOTHING, Redaction
from gatebook.settings import Settings
from gatebook.viewer import trail
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.asker import asker
from gatebook.viewer.database import Database

_OWN = ("same-origin", "none", None)  # Sec-Fetch-Site: this page's, typed in, or not a browser at all

Reveal = Annotated[
    bool,
    Query(description="show values that are masked otherwise, see GATEBOOK_REDACT; that is noted in the trail"),
]


class Sight:
    """What one answer shows: what `redaction` leaves."""

    def __init__(self, request: Request, reveal: bool) -> None:
        """Raises Problem where another site asks to reveal."""
        settings: Settings = request.app.state.settings
        masking = of(settings.redact)
        self.revealed = reveal and bool(masking)
        self.redaction = NOTHING if self.revealed else masking
        self._request = request
        if self.revealed and request.headers.get("sec-fetch-site") not in _OWN:
            hint = "open the address yourself, or use the button on the request's page"
            raise Problem(403, "nothing is revealed because another site asks for it", hint)

    async def note(self, requests: int | None) -> None:
        """To be called before the answer: notes that so many requests are revealed in it, if any are.

        Raises Unavailable: what cannot be noted is not to be revealed.
        """
        if self.revealed and requests != 0:
            database: Database = self._request.app.state.database
            await trail.note(database, "revealed", asker(self._request.scope), self._request.url.path, requests)


@lru_cache(8)
def of(patterns: tuple[str, ...]) -> Redaction:
    """The one for these patterns."""
    return Redaction(patterns)
