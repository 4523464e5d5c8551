"""What a filter says, as a tree of frozen values. Pure.

Rule: it holds text as users wrote it, in Unicode; whoever compares it with the wire encodes it (`sql.wire`).
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple
from uuid import UUID


class Pattern(NamedTuple):
    """Literal texts with anything between each two of them; a single one is no pattern but a text."""

    parts: tuple[str, ...]


class Between(NamedTuple):
    """Whole numbers from `low` to `high`, both included; None is no bound."""

    low: int | None
    high: int | None


class At(NamedTuple):
    """A point in time: Unix milliseconds."""

    ms: int


Value = Pattern | Between | At | IPv4Network | IPv6Network | UUID | bool


@dataclass(frozen=True)
class Term:
    """One condition. `exactly` is what = asks of a text; `key` is a header's name, or the keys of a JSON path."""

    field: str  # a word of fields.py, or `text` for a bare word
    value: Value
    exactly: bool = False
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class And:
    """All of them; of none: everything."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Or:
    """At least one of them."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Not:
    """What `part` does not match."""

    part: "Expression"


Expression = And | Or | Not | Term

EVERYTHING = And(())


def reads_bodies(expression: Expression) -> bool:
    """Whether bodies have to be looked at, which takes long where they are large."""
    match expression:
        case And(parts) | Or(parts):
            return any(map(reads_bodies, parts))
        case Not(part):
            return reads_bodies(part)
        case Term(field):
            return field in ("text", "body", "json")


def denied_inside(expression: Expression, denied: bool = False) -> Expression:
    """The same with NOT at single terms only (De Morgan), which is where it can be made use of."""
    match expression:
        case Not(part):
            return denied_inside(part, not denied)
        case Term(field="truncated", value=bool(value)) if denied:
            return Term("truncated", not value)
        case Term():
            return Not(expression) if denied else expression
        case And(parts) | Or(parts):
            inner = tuple(denied_inside(part, denied) for part in parts)
            return And(inner) if isinstance(expression, And) != denied else Or(inner)
