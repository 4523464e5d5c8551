"""From an expression to what a block of requests must have, by its terms, if one of them is to match. Pure.

Rule: it is necessary, never more: the terms of a request that matches satisfy it. Those of others may as well, so a
block tells "there may be one" or "there is none".
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from gatebook.filter.expression import And, Between, Expression, Not, Or, Pattern, Term, denied_inside
from gatebook.filter.parameters import Parameters
from gatebook.filter.terms import NETWORKS, SIZES, hashed, lowered, network, path, prefixes, status_class
from gatebook.filter.text import NoSuchText, wire

Words = tuple[str, ...]  # what a term is the hash of

_PLACES = ("path", "below")
_UNTOLD = ("text", "body", "json")  # which may hold what the text columns cannot, too


class Needed(NamedTuple):
    """Of `terms` and `parts` a block must have all, or else at least one; at least one of none is never had."""

    all: bool
    terms: tuple[int, ...]
    parts: "tuple[Needed, ...]" = ()


_NEVER = Needed(False, ())


def block_condition(expression: Expression, parameters: Parameters) -> str | None:
    """What a block needs as SQL over `terms` (integer[]); None when terms tell nothing of this filter."""
    found = needed(expression)
    return _sql(found, parameters) if found else None


def needed(expression: Expression) -> Needed | None:
    """What a block must have; None when terms tell nothing of this filter."""
    return _needed(denied_inside(expression))


def _sql(needed: Needed, parameters: Parameters) -> str:
    conditions = [_sql(part, parameters) for part in needed.parts]
    if needed.terms:
        conditions.append(f"terms {'@>' if needed.all else '&&'} {parameters.add(list(needed.terms), 'integer[]')}")
    return f"({(' AND ' if needed.all else ' OR ').join(conditions)})" if conditions else "false"


def _needed(expression: Expression) -> Needed | None:
    match expression:
        case Or(parts):
            each = [_needed(part) for part in parts]
            told = tuple(part for part in each if part)
            return Needed(False, (), told) if len(told) == len(each) else None
        case And() | Term():
            try:
                return _all(list(_flat(expression)))
            except NoSuchText:
                return _NEVER
        case Not():
            return None


def _all(parts: list[Expression]) -> Needed | None:
    told = [_alternatives(part) for part in parts if isinstance(part, Term)]
    facts = [words for alternatives in told if len(alternatives) == 1 for words in alternatives]
    terms = tuple(sorted({hashed(*words) for words in _joined(facts)}))
    some = [Needed(False, tuple(hashed(*words) for words in each)) for each in told if len(each) > 1]
    inner = [found for part in parts if isinstance(part, Or) and (found := _needed(part))]
    return Needed(True, terms, (*some, *inner)) if terms or some or inner else None


def _flat(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, And):
        for part in expression.parts:
            yield from _flat(part)
    else:
        yield expression


def _joined(facts: list[Words]) -> Iterator[Words]:
    """Places are asked for together with the method, which is rarer than both."""
    method = next((words[1] for words in facts if words[0] == "method"), "")
    places = [words for words in facts if words[0] in _PLACES]
    for words in facts:
        if words in places:
            yield (words[0], method, words[2])
        elif words[0] != "method" or not places:
            yield words


def _alternatives(term: Term) -> list[Words]:
    """What a request that matches is told to have at least one of; none: nothing is known."""
    match term.value:
        case Pattern(parts) if term.field not in _UNTOLD:
            return _of_text(term, [wire(part) for part in parts])
        case Between(low, high) if term.field == "status":
            return _of_status(low, high)
        case Between(low) if low and low >= 2**SIZES.start:
            return [("size", str(min(low.bit_length() - 1, SIZES.stop - 1)))]
        case bool(truncated):
            return [("truncated", str(truncated))]
        case IPv4Network() | IPv6Network():
            return _of_network(term.field, term.value)
        case _:
            return []


def _of_text(term: Term, parts: list[str]) -> list[Words]:
    first, whole = parts[0], len(parts) == 1
    match term.field:
        case "method" if whole:
            return [("method", lowered(first))]
        case "replica" | "scheme" if whole:
            return [(term.field, first)]
        case "path" if whole:
            return [("path", "", first)]
        case "target" if term.exactly:
            return [("path", "", path(first))]
        case "path":
            return [("below", "", begin) for begin in list(prefixes(first))[-1:]]
        case "header":
            name = lowered(wire(term.key[0]))
            return [("header", name, first) if term.exactly else ("header", name)]
        case _:
            return []


def _of_status(low: int | None, high: int | None) -> list[Words]:
    if low is not None and low == high:
        return [("status", str(low))]
    first, last = status_class(low or 0), status_class(999 if high is None else high)
    return [("class", str(number)) for number in range(int(first), int(last) + 1)]


def _of_network(who: str, asked: IPv4Network | IPv6Network) -> list[Words]:
    lengths = [length for length in NETWORKS[asked.version] if length <= asked.prefixlen]
    address = int(asked.network_address)
    return [(who, network(address, length, asked.version)) for length in lengths[-1:]]
