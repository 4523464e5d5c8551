"""What differs between two requests.

Rules: nothing is normalised before it is compared, and numbers are compared as they were written. What is equal is told
too. The work is bounded by the numbers below, and what was not compared for their sake is said. Pure; raises nothing,
whatever was sent.
"""

import difflib
import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gatebook.viewer.shown import text

_PARAMETERS = 1000  # of a target; one that has more is compared as one text
_VALUES = 5000  # of a JSON body
_LINES = 1000  # of a text, between its equal beginning and its equal end: difflib takes 1 s for the worst of them
_CONTEXT = 3  # equal lines that are shown around what differs
_LONG = 2000  # characters of a value that are shown, from shortly before the first difference on
_BEFORE = 80
_CHARACTERS = 512 * 1024  # of the values of two bodies, together
_PATH = 200  # characters of a path that are shown
_PLAIN_CONTROLS = "\t\n\r\f"


@dataclass(frozen=True)
class Sent:
    """One of the two: a request as the API has it, its body if all of it is at hand, the SHA-256 of it if known.

    Of a body that is masked, or may be, `sha256` says so: its own would let a short value be found by trying.
    """

    request: dict[str, Any]
    body: bytes | None
    sha256: str | None = None


@dataclass(frozen=True)
class Pair:
    """What stands on either side under a name; None: there is none there. Text as it was meant, not yet escaped."""

    name: str
    a: str | None
    b: str | None
    moved: bool = False  # it is equal, or not, but stands at another place among the others
    skipped: int = 0  # it is none, but stands for so many equal lines

    @property
    def differs(self) -> bool:
        return self.a != self.b or self.moved


@dataclass(frozen=True)
class Bodies:
    """`kind` is how they were compared: json, text, binary, or sums (not both at hand, but what is known of them)."""

    kind: str
    pairs: list[Pair]
    whole: bool = True  # else there is more that was not compared, or is not told
    exact: bool = True  # else they are not alike, byte for byte, or nobody knows, whatever the pairs say

    @property
    def differs(self) -> bool:
        return not self.exact or any(pair.differs for pair in self.pairs)


@dataclass(frozen=True)
class Comparison:
    """Of two requests: request line, headers, body; and beside what was sent, how it came."""

    line: list[Pair]
    headers: list[Pair]
    body: Bodies
    around: list[Pair]

    @property
    def differing(self) -> list[str]:
        """In short: the parts of what was sent that differ."""
        parts = {"request line": self.line, "headers": self.headers}
        found = [name for name, pairs in parts.items() if any(pair.differs for pair in pairs)]
        return [*found, "body"] if self.body.differs else found


def compare(a: Sent, b: Sent) -> Comparison:
    """What differs, and what does not."""
    return Comparison(
        line=list(_request_line(a.request, b.request)),
        headers=_aligned(_headers(a.request), _headers(b.request)),
        body=_bodies(a, b),
        around=[_pair(name, a.request[key], b.request[key]) for name, key in _AROUND.items()],
    )


_AROUND = {"Client": "client", "Peer": "peer", "Scheme": "scheme", "Replica": "replica", "Answered": "status"}


@dataclass(frozen=True)
class _Item:
    """`key` says which of the other side it belongs with; `whole` is all of it that may differ."""

    key: object
    name: str
    value: str
    whole: str = ""


def _request_line(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Pair]:
    yield _pair("Method", a["method"], b["method"])
    (path_a, parameters_a), (path_b, parameters_b) = (_target(one["target"]) for one in (a, b))
    yield _pair("Path", path_a, path_b)
    yield from _aligned(parameters_a, parameters_b)
    yield _pair("HTTP version", a["http_version"], b["http_version"])


def _target(target: str) -> tuple[str, list[_Item]]:
    """Its path, and its parameters as they were written; both together are all of it."""
    path, mark, query = target.partition("?")
    if query.count("&") >= _PARAMETERS:
        return target, []
    named = [(text.wire(one.partition("=")[0]), text.wire(one)) for one in query.split("&")] if mark else []
    return path, [_Item(name, f"?{name}", whole) for name, whole in named]


def _headers(request: dict[str, Any]) -> list[_Item]:
    """A name that is spelled differently differs, so it stands before the value of both sides then."""
    return [_Item(name.lower(), text.wire(name), text.wire(value), name) for name, value in request["headers"]]


def _pair(name: str, a: object, b: object) -> Pair:
    return Pair(name, *_cut(*(text.wire(str(one)) for one in (a, b))))


def _aligned(a: Sequence[_Item], b: Sequence[_Item]) -> list[Pair]:
    """The first of a key with the first of that key on the other side, the second with the second; in the order of `a`.

    What has lost its place among the others is `moved`: as few as possible, so one that moved is not called many.
    """
    places: dict[tuple[object, int], int] = {key: at for at, key in enumerate(_counted(b))}
    partners = [places.pop(key, None) for key in _counted(a)]
    kept = _longest_rising([partner for partner in partners if partner is not None])
    alone = sorted(places.values())  # on the side of b
    pairs, done = [], 0
    for one, partner in zip(a, partners, strict=True):
        if partner is None:
            pairs.append(Pair(one.name, _start(one.value), None))
            continue
        while partner in kept and done < len(alone) and alone[done] < partner:
            pairs.append(Pair(b[alone[done]].name, None, _start(b[alone[done]].value)))
            done += 1
        pairs.append(_together(one, b[partner], partner not in kept))
    return pairs + [Pair(b[at].name, None, _start(b[at].value)) for at in alone[done:]]


def _counted(items: Sequence[_Item]) -> Iterator[tuple[object, int]]:
    """The key of each, and how many of that key came before."""
    count: dict[object, int] = defaultdict(int)
    for item in items:
        yield item.key, count[item.key]
        count[item.key] += 1


def _together(a: _Item, b: _Item, moved: bool) -> Pair:
    if a.whole == b.whole:
        return Pair(a.name, *_cut(a.value, b.value), moved)
    return Pair(a.name, *_cut(f"{a.name}: {a.value}", f"{b.name}: {b.value}"), moved)


def _longest_rising(numbers: list[int]) -> set[int]:
    """The most of these (different) numbers that stand in rising order."""
    ends: list[int] = []  # of the best rising sequence of each length, its last number
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(ends, number)
        before[number] = ends[at - 1] if at else None
        ends[at : at + 1] = [number]
    found, last = set(), ends[-1] if ends else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _cut(a: str, b: str) -> tuple[str, str]:
    """Both; of long ones a part around the first difference."""
    if max(len(a), len(b)) <= _LONG:
        return a, b
    first = max(_common(a, b) - _BEFORE, 0) if a != b else 0
    return _start(a, first), _start(b, first)


def _common(a: Sequence[object], b: Sequence[object]) -> int:
    """How many are equal at the beginning of both."""
    return next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _start(value: str, first: int = 0) -> str:
    shown = ("…" if first else "") + value[first : first + _LONG]
    return shown if first + _LONG >= len(value) else f"{shown}…"


def _bodies(a: Sent, b: Sent) -> Bodies:
    if a.body is None or b.body is None:
        known = all(one.sha256 or one.body is not None for one in (a, b))
        return Bodies("sums", _facts(a, b), whole=known, exact=known)
    paths: dict[tuple[int, str | int], int] = {}
    values_a, values_b = _values(a.body, paths), _values(b.body, paths)
    if values_a is not None and values_b is not None:
        pairs, fit = _fitting(_aligned(values_a[:_VALUES], values_b[:_VALUES]))
        return Bodies("json", pairs, fit and max(len(values_a), len(values_b)) <= _VALUES, a.body == b.body)
    text_a, text_b = _text(a.body), _text(b.body)
    if text_a is not None and text_b is not None:
        return _by_lines(text_a, text_b)
    return Bodies("binary", _facts(a, b))


def _fitting(pairs: list[Pair]) -> tuple[list[Pair], bool]:
    """As many as there is room for, what differs first; and whether that is all."""
    room, kept = _CHARACTERS, []
    for at in sorted(range(len(pairs)), key=lambda at: not pairs[at].differs):
        room -= len(pairs[at].a or "") + len(pairs[at].b or "")
        if room < 0:
            break
        kept.append(at)
    return [pairs[at] for at in sorted(kept)], len(kept) == len(pairs)


def _facts(a: Sent, b: Sent) -> list[Pair]:
    pairs = [Pair("Size", _size(a), _size(b)), Pair("SHA-256", _sha256(a), _sha256(b))]
    if a.body is not None and b.body is not None and a.body != b.body:
        at = f"at byte {_common(a.body, b.body):,}"
        pairs.append(Pair("First difference", at, at))
    return pairs


def _sha256(one: Sent) -> str:
    return one.sha256 or ("not known" if one.body is None else hashlib.sha256(one.body).hexdigest())


def _size(one: Sent) -> str:
    size = one.request["body_size"]
    return "not known" if size is None else f"{size:,} bytes"


def _text(body: bytes) -> str | None:
    """A body as text; None when it is none."""
    try:
        found = body.decode()
    except UnicodeDecodeError:
        return None
    return None if any(char < " " and char not in _PLAIN_CONTROLS for char in set(found)) else found


def _by_lines(a: str, b: str) -> Bodies:
    lines_a, lines_b = (one.split("\n") if one else [] for one in (a, b))
    start = _common(lines_a, lines_b)
    rest_a, rest_b = lines_a[start:], lines_b[start:]
    end = _common(rest_a[::-1], rest_b[::-1])
    middle_a, middle_b = rest_a[: len(rest_a) - end], rest_b[: len(rest_b) - end]
    pairs = _equal_lines(lines_a[:start], 0, 0, 0, _CONTEXT)
    whole = max(len(middle_a), len(middle_b)) <= _LINES
    middle_a, middle_b = middle_a[:_LINES], middle_b[:_LINES]
    codes = difflib.SequenceMatcher(None, middle_a, middle_b).get_opcodes()
    for operation, from_a, to_a, from_b, to_b in codes:
        if operation == "equal":
            pairs += _equal_lines(middle_a[from_a:to_a], start + from_a, start + from_b, _CONTEXT, _CONTEXT)
        else:
            pairs += _changed_lines(middle_a[from_a:to_a], middle_b[from_b:to_b], start + from_a, start + from_b)
    if whole and end:
        at_a, at_b = len(lines_a) - end, len(lines_b) - end
        pairs += _equal_lines(lines_a[at_a:], at_a, at_b, _CONTEXT if codes else 0, 0)
    pairs, fit = _fitting(pairs)
    return Bodies("text", pairs, whole and fit, a == b)


def _equal_lines(lines: list[str], at_a: int, at_b: int, first: int, last: int) -> list[Pair]:
    """The first and the last of them, and how many there are between."""
    between = len(lines) - first - last
    if between < 2:
        first, between, last = len(lines), 0, 0
    pairs = [_line(line, line, at_a + at, at_b + at) for at, line in enumerate(lines[:first])]
    if between:
        pairs.append(Pair("", None, None, skipped=between))
    rest = len(lines) - last
    return pairs + [_line(line, line, at_a + at, at_b + at) for at, line in enumerate(lines[rest:], rest)]


def _changed_lines(a: list[str], b: list[str], at_a: int, at_b: int) -> Iterator[Pair]:
    for at in range(max(len(a), len(b))):
        yield _line(a[at] if at < len(a) else None, b[at] if at < len(b) else None, at_a + at, at_b + at)


def _line(a: str | None, b: str | None, at_a: int, at_b: int) -> Pair:
    on_a, on_b = "–" if a is None else str(at_a + 1), "–" if b is None else str(at_b + 1)
    number = on_a if on_a == on_b else f"{on_a} / {on_b}"
    if a is not None and b is not None:
        return Pair(number, *_cut(a, b))
    return Pair(number, None if a is None else _start(a), None if b is None else _start(b))


class _Number(str):
    """A number as it was written."""


class _Members(list[tuple[str, Any]]):
    """An object: its members in their order, also when a name comes twice."""


_READER = json.JSONDecoder(object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number)


def _values(body: bytes, paths: dict[tuple[int, str | int], int]) -> list[_Item] | None:
    """All that stands in a JSON body, by path; at most one more than are compared. None when it is no JSON.

    `paths` numbers the paths of both sides: the path that a step leads to from another one.
    """
    try:
        value = _READER.decode(body.decode())
    except (ValueError, RecursionError):
        return None
    items: list[_Item] = []
    waiting: list[tuple[int, str, Any]] = [(0, "", value)]
    while waiting and len(items) <= _VALUES:
        number, path, value = waiting.pop()
        steps = [
            (paths.setdefault((number, step), len(paths) + 1), _path(path, step), inner)
            for step, inner in islice(_inner(value), _VALUES + 1)
        ]
        waiting += reversed(steps)
        if not steps:
            items.append(_Item(number, path or "the whole", _written(value)))
    return items


def _inner(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, _Members):
        return value
    return enumerate(value) if isinstance(value, list) else ()


def _path(path: str, step: str | int) -> str:
    """Of a long one the end."""
    if isinstance(step, int):
        longer = f"{path}[{step}]"
    else:
        name = step if step.isidentifier() else json.dumps(step[:_PATH], ensure_ascii=False)
        longer = f"{path}.{name}" if path else name
    return longer if len(longer) <= _PATH else f"…{longer[-_PATH:]}"


def _written(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    return "{}" if isinstance(value, _Members) else json.dumps(value, ensure_ascii=False)
