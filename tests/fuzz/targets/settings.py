"""What the environment says."""

import re
from dataclasses import fields

from fuzz.target import target
from gatebook.errors import UserError
from gatebook.settings import Settings, address, addresses, host_names, read, resolvers

_ROWS = [{"name": row.name, **row.metadata} for row in fields(Settings)]
_SECRET = "hunter2-c4n4ry"


@target(
    "settings",
    [b"10MiB", b"unix:/", b"[::1]:80", b"10.0.0.0/8", b"*.example", b"0", b"65535", b"\xd9\xa3", b"$x", b"{", b";"],
    [bytes([number]) + row["default"].encode() for number, row in enumerate(_ROWS)],
)
def settings(data: bytes) -> None:
    """A value is taken or is a mistake that is told; a secret is never told, and nothing gets into nginx's text."""
    row = _ROWS[data[0] % len(_ROWS)] if data else _ROWS[0]
    raw = data[1:].replace(b"\0", b"").decode("utf-8", "surrogateescape")  # no environment holds a NUL
    value = raw + _SECRET if row["secret"] else raw
    try:
        found = read({row["variable"]: value, "GATEBOOK_REPLICA": "r"} | {row["variable"]: value})
    except UserError as error:
        assert str(error) and _SECRET not in str(error) + repr(error)
        return
    assert _SECRET not in repr(found) and _SECRET not in str(found)
    if row["parse"] in (address, addresses, resolvers, host_names):
        taken = getattr(found, row["name"])
        for one in taken if isinstance(taken, tuple) else [taken]:
            assert not re.search(r"[\s;{}'\"$]", str(one)), "nginx would read it as more than one word"
