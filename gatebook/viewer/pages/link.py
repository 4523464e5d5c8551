"""Where the pages are: each has an address of its own, which says all that it shows."""

import re
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from starlette.requests import Request

_HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


def to_list(filter: str = "", **query: object) -> str:
    """The list of what `filter` finds; `query`: as the page takes it, None is left out."""
    return _with_query("/_/", filter=filter, **query)


def to_request(id: UUID | str, filter: str = "", **query: object) -> str:
    """One request, beside the list of what `filter` finds."""
    return _with_query(f"/_/requests/{id}", filter=filter, **query)


def to_neighbour(id: UUID | str, which: str, filter: str) -> str:
    """The next `newer` or `older` one that `filter` finds."""
    return _with_query(f"/_/requests/{id}/{which}", filter=filter)


def to_comparison(a: UUID | str, b: UUID | str, filter: str = "", **query: object) -> str:
    """Both beside each other; `filter` is that of the list to go back to."""
    return _with_query(f"/_/compare/{a}/{b}", filter=filter, **query)


def to_body(id: UUID | str, revealed: bool = False) -> str:
    """The exact bytes, to be downloaded; masked unless `revealed`."""
    return _with_query(f"/_/api/requests/{id}/body", reveal="1" if revealed else None)


def to_image(id: UUID | str, revealed: bool = False) -> str:
    """A body that is a picture, to be looked at."""
    return _with_query(f"/_/requests/{id}/image", reveal="1" if revealed else None)


def origin(request: Request) -> str:
    """Where whoever asks has the gate: scheme, host and port; a Host that is none is not repeated."""
    host, scheme = request.headers.get("host", ""), request.headers.get("x-forwarded-proto")
    return f"{'https' if scheme == 'https' else 'http'}://{host if _is_host(host) else 'localhost'}"


def _is_host(host: str) -> bool:
    """Whether it is a host, perhaps with a port, that a URL may have."""
    try:
        return bool(_HOST.fullmatch(host)) and urlsplit(f"//{host}").port != 0
    except ValueError:  # no such address, or no such port
        return False


def _with_query(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
