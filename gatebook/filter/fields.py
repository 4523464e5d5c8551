"""Every field that a filter may ask for, in one table: parse, documentation, API and shell completion all read it.

Rule: imports nothing that takes time, because completing a command line must not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["whole", "part", "network", "status", "size", "flag", "time", "id"]

TEXT = (":", "=")
NUMBER = (":", "=", ">", ">=", "<", "<=")


@dataclass(frozen=True)
class Field:
    """One field: what its values are, and how it is explained."""

    name: str  # as users read it: `header.NAME` takes a name after the dot
    kind: Kind
    operators: tuple[str, ...]
    expected: str  # what a value is, in the words of an error
    help: str
    example: str

    @property
    def word(self) -> str:
        """What stands before the dot, if there is one."""
        return self.name.partition(".")[0]

    @property
    def takes_key(self) -> bool:
        """Whether a name follows after a dot."""
        return "." in self.name


FIELDS = (
    Field("method", "whole", TEXT, "a method such as POST", "the method; case does not matter", "method:POST"),
    Field(
        "path",
        "whole",
        TEXT,
        "a path such as /github/*",
        "the target up to its ? or #, without scheme and host; * stands for anything",
        "path:/github/*",
    ),
    Field("target", "part", TEXT, "a text such as ?page=2", "what the target contains, as sent", "target:?page=2"),
    Field(
        "header.NAME",
        "part",
        TEXT,
        "a text such as json",
        "what a header contains; case does not matter in its name; header.NAME:* asks whether it is there",
        "header.content-type:json",
    ),
    Field(
        "json.A.B",
        "whole",
        TEXT,
        "a value such as octo/*",
        "a text, number, true or false in a JSON body; 0, 1, 2 count in an array, quotes keep a dot in a key",
        "json.repository.full_name:octo/*",
    ),
    Field(
        "body",
        "part",
        TEXT,
        'a text such as "hello"',
        "what the kept body contains; body:* asks whether there is any",
        'body:"hello world"',
    ),
    Field("client", "network", TEXT, "an address or a network such as 10.0.0.0/8", "who sent it", "client:10.0.0.0/8"),
    Field(
        "peer",
        "network",
        TEXT,
        "an address or a network such as 10.0.0.0/8",
        "who connected to the load balancer: the client, or the last proxy before it",
        "peer:2001:db8::/32",
    ),
    Field("replica", "whole", TEXT, "a replica such as webapp-2", "which replica recorded it", "replica:webapp-2"),
    Field("scheme", "whole", TEXT, "http or https", "http or https, as it came to the load balancer", "scheme:http"),
    Field("version", "whole", TEXT, "a version such as 1.1", "the HTTP version", "version:1.0"),
    Field("status", "status", NUMBER, "a status such as 413 or 5xx", "what was answered", "status:4xx"),
    Field("size", "size", NUMBER, "a size such as 1MB", "bytes of the body; units are powers of 1024", "size>1MB"),
    Field("truncated", "flag", TEXT, "true or false", "whether the body is not wholly kept", "truncated:true"),
    Field(
        "since",
        "time",
        TEXT,
        "a duration such as 1h or a time such as 2026-11-22T10:00",
        "received then or later: a duration back from now, or a time, UTC unless it says otherwise",
        "since:1h",
    ),
    Field(
        "until",
        "time",
        TEXT,
        "a duration such as 1h or a time such as 2026-11-22T10:00",
        "received before then",
        "until:2026-11-22T10:00",
    ),
    Field(
        "id",
        "id",
        TEXT,
        "an id such as 019a3c5e-8f00-7a1b-8c2d-3e4f5a6b7c8d",
        "the request of this id",
        "id:019a3c5e-8f00-7a1b-8c2d-3e4f5a6b7c8d",
    ),
)

BY_WORD = {field.word: field for field in FIELDS}


def words() -> Iterator[str]:
    """What a filter's term may begin with; a dot at the end asks for a name."""
    for field in FIELDS:
        yield f"{field.word}." if field.takes_key else field.word
