"""The Gatebook that a command asks: where it is, what it answers, and what is said when it does not.

Rules: whatever goes wrong on the way is a UserError that says what to try. No answer is waited for without a limit.
What lets us in is shown to the Gatebook that was named and to nobody else, nor is it in what is said; that of the local
stack goes over its viewer's socket alone.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gatebook.cli.reading import shown
from gatebook.cli.reading.progress import progress
from gatebook.cli.stack_option import data_option, stack
from gatebook.errors import UserError

if TYPE_CHECKING:
    import httpx

_CONNECT_WITHIN_S = 10.0
_PATIENCE_S = 60.0  # for the viewer's next word; it has one twice a second
_NDJSON = "application/x-ndjson"
_PROBLEM = "application/problem+json"
_WHERE_ELSE = "gatebook ps says what runs here; --url names a Gatebook elsewhere"
_SOON = (502, 503, 504)
AGAIN_S = 0.5  # after which who is patient asks again

Query = dict[str, str | int | None]  # None: not asked
Tell = Callable[[float], None]


class Away(UserError):
    """It does not answer now and may do so soon; `is_there`: something did answer there."""

    def __init__(self, what: str, hint: str, is_there: bool) -> None:
        super().__init__(what, hint)
        self.is_there = is_there


class Refused(UserError):
    """It answers with an error, of this HTTP status (None: told in the middle of an answer)."""

    def __init__(self, what: str, hint: str, status: int | None) -> None:
        super().__init__(what, hint)
        self.status = status


def where_option(command: Callable[..., None]) -> Callable[..., None]:
    """--url and --data, which say where the Gatebook is that a command asks."""
    url_option = click.option(
        "--url", metavar="URL", help="The Gatebook to ask, where its load balancer listens. Else: the local stack."
    )
    return url_option(data_option(command))


@contextmanager
def gatebook(url: str | None, data: str | None) -> Iterator["Gatebook"]:
    """The Gatebook at `url`, else that of the local stack. Raises UserError."""
    import httpx

    from gatebook import __version__

    way = _local(data) if url is None else Way(_checked(url), _token(), None)
    shows = (
        {"Authorization": f"Bearer {way.token}"} if way.token else {}
    )  # httpx keeps it back where it is led elsewhere
    try:
        client = httpx.Client(
            timeout=httpx.Timeout(_PATIENCE_S, connect=_CONNECT_WITHIN_S),
            headers={"User-Agent": f"gatebook/{__version__}", **shows},
            follow_redirects=True,
            transport=way.transport,
            trust_env=url is not None,  # no proxy stands before the local stack
        )
    except (ImportError, ValueError) as error:
        raise UserError(f"the proxy that the environment names cannot be used: {error}", "unset ALL_PROXY") from None
    with client:
        yield Gatebook(way, client)


class Way(NamedTuple):
    """Where a Gatebook is, what lets us in, and how one gets to the local stack, which is not asked at its address."""

    address: str
    token: str | None
    transport: "httpx.BaseTransport | None"


def _local(data: str | None) -> Way:
    """The way to the local stack, as its operator. Raises UserError."""
    _, folder = stack(data)
    from gatebook.access import token
    from gatebook.cli.reading.own_viewer import OwnViewer
    from gatebook.stack import control

    parts = control.ask(folder, {"do": "ps"}, lambda part, text: None)
    addresses: dict[str, str] = {part["role"]: part["address"] for part in parts}
    try:
        operators = token.operator(folder.password.read_text().strip())
    except OSError:
        operators = None
    return Way(addresses["lb"], operators, OwnViewer(folder, addresses["viewer"].removeprefix("unix:")))


def _token() -> str | None:
    """The user's token for a Gatebook elsewhere, if there is one. Raises UserError."""
    from gatebook import settings

    found = settings.read(os.environ).token
    if not re.fullmatch("[!-~]*", found):
        hint = "it is one word, gatebook_..., as `gatebook token create NAME` has told it"
        raise UserError("GATEBOOK_TOKEN (not shown) holds what no token has", hint)
    return found or None


# What is wrong and what to try where we are not let in; by whether it is the local stack, and whether we had a token.
_MISSING = {
    (False, False): ("asks for a password", "set GATEBOOK_TOKEN to a token made there: gatebook token create NAME"),
    (False, True): ("does not know the token in GATEBOOK_TOKEN", "make one there: gatebook token create NAME"),
    (True, False): ("asks for a password, which this user cannot read", "ask as the user who runs the stack"),
    (True, True): ("was started with another password file", "gatebook down, then gatebook up"),
}


def _checked(url: str) -> str:
    """`url` without the slashes at its end. Raises UserError."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(url)
        parts.port  # noqa: B018  # raises ValueError when it is none
    except ValueError:
        raise UserError(f"--url is {url!r}: no address of a Gatebook", "--url http://localhost:8080") from None
    return url.rstrip("/")


class Gatebook:
    """Asks one Gatebook's viewer. All of it raises UserError, and Away where trying again may help."""

    def __init__(self, way: Way, client: "httpx.Client") -> None:
        self.url = _without_secrets(way.address)
        self._is_local = way.transport is not None
        self._asked = "http://localhost" if self._is_local else way.address
        self._client = client
        self._missing = _MISSING[self._is_local, bool(way.token)]

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """The JSON object at `path` below /_/api."""
        with self.stream(path, query, {"Accept": "application/json"}) as answer:
            answer.read()
            found: dict[str, Any] = self._json(answer)
            return found

    def told(self, path: str, tell: Tell, **query: str | int | None) -> dict[str, Any]:
        """The JSON object at `path`, which takes its time; `tell` hears how much of it is done, from 0 to 1."""
        with self.stream(path, query, {"Accept": _NDJSON}) as answer:
            if _kind(answer) != _NDJSON:
                answer.read()
                raise self.stranger(answer)
            for line in _lines(answer):
                match json.loads(line):
                    case {"error": dict(problem)} if problem.get("status") in _SOON:
                        raise Away(*_said(problem, query), True)
                    case {"error": dict(problem)}:
                        raise Refused(*_said(problem, query), None)
                    case {"progress": progress}:
                        tell(progress)
                    case dict(word):
                        return dict(next(iter(word.values())))
        raise Away("the viewer ended before its answer did", "try again; gatebook logs viewer says why", True)

    def pages(
        self, path: str, label: str, patiently: bool = False, **query: str | int | None
    ) -> Iterator[dict[str, Any]]:
        """Answers of `told`, each going on where the one before ended, to the last or until the caller has enough.

        `patiently`: where nobody answers it is tried again, for ever.
        """
        cursor = None
        with progress(label) as tell:
            while True:
                try:
                    page = self.told(path, tell, **query, cursor=cursor)
                except Away:
                    if not patiently:
                        raise
                    time.sleep(AGAIN_S)
                    continue
                tell.go_on()
                yield page
                if (cursor := page["next"]) is None:
                    return

    @contextmanager
    def stream(
        self, path: str, query: Query, headers: dict[str, str], patience_s: float = _PATIENCE_S
    ) -> Iterator["httpx.Response"]:
        """The answer while it comes. Trouble inside the block that is the network's is told as such, too."""
        import httpx

        asked = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(patience_s, connect=_CONNECT_WITHIN_S)
        try:
            with self._client.stream(
                "GET", f"{self._asked}/_/api{path}", params=asked, headers=headers, timeout=timeout
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refused(answer, query)
                yield answer
        except httpx.ConnectError as error:
            raise self._not_reached(str(error)) from None
        except httpx.HTTPError as error:
            raise Away(f"no answer from {self.url}: {str(error) or type(error).__name__}", _WHERE_ELSE, True) from None
        except httpx.InvalidURL as error:
            raise UserError(f"--url is {self.url!r}: {error}", "--url http://localhost:8080") from None

    def _not_reached(self, said: str) -> Away:
        if self._is_local:  # its runner has answered: it starts, restarts, or has stopped since
            return Away("the viewer does not answer", "gatebook ps says what runs here, gatebook logs viewer why", True)
        hint = "SSL_CERT_FILE names a certificate to trust" if "CERTIFICATE" in said else _WHERE_ELSE
        return Away(f"no answer from {self.url}: {said}", hint, False)

    def _refused(self, answer: "httpx.Response", query: Query) -> UserError:
        status = answer.status_code
        if _kind(answer) == _PROBLEM and status == 401:
            what, hint = self._missing
            return Refused(f"{self.url} {what}", hint, status)
        if _kind(answer) == _PROBLEM:
            what, hint = _said(self._json(answer), query)
        elif status in _SOON:  # said by what stands before it
            what, hint = f"{self.url} answers {status}", _WHERE_ELSE
        else:
            return self.stranger(answer)
        return Away(what, hint, True) if status in _SOON else Refused(what, hint, status)

    def _json(self, answer: "httpx.Response") -> dict[str, Any]:
        try:
            found = json.loads(answer.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self.stranger(answer)
        return found

    def stranger(self, answer: "httpx.Response") -> UserError:
        what = f"{self.url} answers {answer.status_code} to this, and seems to be no Gatebook"
        return UserError(what, "name the address that its load balancer listens on: --url http://HOST:PORT")


def _without_secrets(url: str) -> str:
    """`url` without the user and password that may stand in it."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _kind(answer: "httpx.Response") -> str:
    found: str = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return found


def _lines(answer: "httpx.Response") -> Iterator[bytes]:
    """The whole lines of an answer. httpx's own would also end one at U+0085, which may stand in a text."""
    begun: list[bytes] = []
    for piece in answer.iter_bytes():
        first, *others = piece.split(b"\n")
        begun.append(first)
        for other in others:
            yield b"".join(begun)
            begun = [other]


def _said(problem: dict[str, Any], query: Query) -> tuple[str, str]:
    """What a problem document (RFC 9457) says, and what to try; what is wrong with a filter is shown in it."""
    match problem:
        case {"detail": what, "hint": hint}:
            pass
        case {"title": what, "detail": hint}:  # the load balancer's own
            pass
        case _:
            what, hint = problem.get("detail") or problem.get("title") or "the viewer refuses", "gatebook logs viewer"
    said = shown.text(str(what))
    if isinstance(position := problem.get("position"), int) and isinstance(filter := query.get("filter"), str):
        said += _pointed_at(filter, position)
        hint = "gatebook tail --help lists the fields"
    return said, shown.text(str(hint))


_BEFORE, _AFTER = 50, 20  # characters of a filter that are shown around a mistake


def _pointed_at(filter: str, position: int) -> str:
    """The filter on a line, and a ^ under what is wrong with it on the next."""
    start = max(position - _BEFORE, 0)
    before, after = (shown.lines(part).replace("\n", " ").replace("\t", " ") for part in (
        filter[start:position], filter[position : position + _AFTER]
    ))  # fmt: skip
    return f"\n       {before}{after}\n       {' ' * shown.columns(before)}^"
