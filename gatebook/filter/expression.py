"""What a filter says, as a tree of frozen values. Pure.

Rule: it holds text as users wrote it, in Unicode; whoever compares it with the wire encodes it (`text.wire`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple
from uuid import UUID


class Pattern(NamedTuple):
    """Literal texts with anything between each two of them; a single one is no pattern but a text."""

    parts: tuple[str, ...]


NOTHING_SAID = Pattern(("",))  # an empty text


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
_MANY = 4  # conditions: hundreds in one statement take PostgreSQL long to plan


def every_term(expression: Expression) -> Iterator[Term]:
    """Each condition that stands in it."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from every_term(part)
        case Not(part):
            yield from every_term(part)
        case Term():
            yield expression


def is_heavy(expression: Expression) -> bool:
    """Whether it takes long to evaluate: it looks into bodies, which may be large, or has very many conditions."""
    terms = list(every_term(expression))
    return len(terms) > _MANY or any(term.field in ("text", "body", "json") for term in terms)


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
