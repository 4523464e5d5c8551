"""No regular expression of ours takes more than about linear time, whatever it is given (ReDoS).

Rule: they are collected, not listed: whatever module of gatebook has one, the grammar of filters included. Each is
tried as it is used (where it is only matched at a place, not at all of them), on texts that repeat what it consists
of and end in what it does not like.
"""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as sre
from re import _parser
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

import gatebook

SMALL, LARGE = 4 * 1024, 16 * 1024  # characters
MEASURABLE_S = 0.02  # below it, how time grows is not asked
MOST_TIMES = 9.0  # as long for four times as much; what is quadratic takes 16
GIVEN_UP_S = 5.0
_SCANS = {"search", "sub", "subn", "split", "findall", "finditer"}  # try at every place
_METHODS = {"match", "fullmatch", *_SCANS}


class Used(NamedTuple):
    """A regular expression, and whether it is tried at every place of a text."""

    where: str
    pattern: "re.Pattern[Any]"
    scans: bool

    def __str__(self) -> str:
        return self.where


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(gatebook.__path__, "gatebook."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def source_of(module: ModuleType) -> str:
    return Path(module.__file__ or "").read_text()


def patterns(value: object, depth: int = 3) -> Iterator["re.Pattern[Any]"]:
    """Those in a value, in what it holds, and that of a method of one."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield value.__self__  # type: ignore[attr-defined]
    elif depth and isinstance(value, dict):
        for each in value.values():
            yield from patterns(each, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from patterns(each, depth - 1)
    elif depth and inspect.isclass(value) and value.__module__.startswith("gatebook"):
        for each in vars(value).values():
            yield from patterns(each, depth - 1)


def collected() -> list[Used]:
    found: dict[tuple[str | bytes, int], Used] = {}
    everywhere = {module.__name__: source_of(module) for module in modules()}
    for module in modules():
        for name, value in vars(module).items():
            for number, pattern in enumerate(patterns(value)):
                own = everywhere[module.__name__]
                used = _methods(name, own if name.startswith("_") else "".join(everywhere.values()))
                used = used or _methods(r"\w+", own)  # it is in a table: by whatever that module does
                scans = bool(used & _SCANS) or not used
                found.setdefault(
                    (pattern.pattern, pattern.flags),
                    Used(f"{module.__name__}.{name}{number or ''}", pattern, scans and not _is_bound(value)),
                )
        for call, text in _inline(everywhere[module.__name__]):
            pattern = re.compile(text)
            used_at = f"{module.__name__}: {text}"
            found.setdefault((pattern.pattern, pattern.flags), Used(used_at, pattern, call in _SCANS))
    for terminal in importlib.import_module("gatebook.filter.parse")._parser().terminals:
        pattern = re.compile(terminal.pattern.to_regexp())
        found.setdefault((pattern.pattern, pattern.flags), Used(f"filter {terminal.name}", pattern, False))
    return list(found.values())


def _methods(name: str, source: str) -> set[str]:
    return _METHODS & set(re.findall(rf"\b{name}\.(\w+)\(", source))


def _is_bound(value: object) -> bool:
    """Whether it is a table of methods, which are all `match`."""
    return isinstance(value, dict) and any(
        isinstance(getattr(one, "__self__", None), re.Pattern) for one in value.values()
    )


def _inline(source: str) -> Iterator[tuple[str, Any]]:
    """Of each re.METHOD(literal, …): METHOD, the literal."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[ast.Constant(value=text), *_]
            ) if method in _METHODS:
                yield method, text


# What no stranger reaches, or reaches only in a form in which they are quick.
ELSEWHERE = {
    "gatebook.app.page._FORK": "the page's own template, once",
    "gatebook.app.page._BLANKS1": "the page's own style, once",
    "gatebook.app.page._BLANKS2": "the page's own script, once",
    r"gatebook.stack.certificate: \[emerg\] (?:[0-9#]+: )?(?:.*::)?(.*?)\)?$": "what nginx says of that",
    "gatebook.filter.values._PIECE": "the grammar lets quotes through in pairs alone, of some KiB",
    "gatebook.viewer.shown.jwt._JSON": "JSON that json.loads has taken, so that every string has its end",
}
ALL = collected()


def test_all_of_them_are_collected() -> None:
    known = {pattern.pattern for _, pattern, _ in ALL}
    for module in modules():
        for node in ast.walk(ast.parse(source_of(module))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr="compile"), args=[ast.Constant(value=text), *_]
                ):
                    assert text in known, f"{module.__name__}:{node.lineno}"
    assert len(ALL) > 80


def test_what_is_left_out_is_there() -> None:
    assert set(ELSEWHERE) <= {used.where for used in ALL}


_ONE_CHARACTER = {sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY}


def _possessive_groups(parsed: Any) -> Iterator[Any]:
    """Whatever in there is repeated possessively and is more than one character, or is atomic."""
    for code, value in parsed:
        if code is sre.ATOMIC_GROUP:
            yield value
        if code is sre.POSSESSIVE_REPEAT and (len(value[2]) > 1 or value[2][0][0] not in _ONE_CHARACTER):
            yield value[2]
        for within in value if isinstance(value, tuple | list) else [value]:
            for one in within if isinstance(within, list) else [within]:
                if isinstance(one, _parser.SubPattern):
                    yield from _possessive_groups(one)


@pytest.mark.parametrize("used", ALL, ids=str)
def test_no_group_is_possessive(used: Used) -> None:
    """Python 3.11.2, which Debian 12 has, matches too much or too little by such (CPython's issue 101955)."""
    assert not list(_possessive_groups(_parser.parse(used.pattern.pattern, used.pattern.flags & ~re.UNICODE)))


@pytest.mark.parametrize("group", ["(?:ab)*+", "(?:a|bc)++", "(x(?:ab)*+)", "(?>ab)", "a|(?:b[^c]*+){2}+"])
def test_a_possessive_group_is_found(group: str) -> None:
    assert list(_possessive_groups(_parser.parse(group)))


@pytest.mark.parametrize("used", [used for used in ALL if used.where not in ELSEWHERE], ids=str)
def test_time_grows_with_the_text_and_no_faster(used: Used) -> None:
    run = _run(used)
    for make in texts(used.pattern):
        with at_most(GIVEN_UP_S, f"{used.where} on {make(40)!r}"):
            for size in (32, 256, 2048):  # an exponential one is found by a short text
                run(make(size))
            if seconds(run, make(LARGE)) < MEASURABLE_S:
                continue
        large, small = (min(seconds(run, make(size)) for _ in range(3)) for size in (LARGE, SMALL))
        assert large < MEASURABLE_S or large < MOST_TIMES * max(small, MEASURABLE_S / 20), (
            f"{used.where} takes {large:.3f} s for {LARGE} characters of {make(40)!r}, {small:.3f} s for {SMALL}"
        )


def _run(used: Used) -> Callable[[Any], object]:
    pattern = used.pattern
    if used.scans:
        return lambda text: sum(1 for _ in pattern.finditer(text))
    return lambda text: (pattern.match(text), pattern.fullmatch(text))


def seconds(run: Callable[[Any], object], text: Any) -> float:
    begun = time.thread_time()
    run(text)
    return time.thread_time() - begun


class at_most:
    """Ends what takes longer; `re` looks for signals while it works."""

    def __init__(self, longest_s: float, what: str) -> None:
        self._longest_s, self._what = longest_s, what

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._over)
        signal.setitimer(signal.ITIMER_REAL, self._longest_s)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _over(self, number: int, frame: FrameType | None) -> None:
        pytest.fail(f"it takes more than {self._longest_s:g} s: {self._what}")


# Texts


def texts(pattern: "re.Pattern[Any]") -> Iterator[Callable[[int], Any]]:
    """Makers of a text of so many characters: a beginning that it likes, what is repeated, an end that it does not."""
    pieces, singles = alphabet(pattern)
    likes = "".join(pieces)
    pumps = dict.fromkeys([*singles, *pieces, likes, *(a + b for a, b in itertools.permutations(singles[:8], 2))])
    for begin, pump, end in itertools.product(dict.fromkeys(["", *pieces[:3], likes]), pumps, ("", "\0", "\n!")):
        if pump:
            yield _maker(pattern, begin, pump, end)


def _maker(pattern: "re.Pattern[Any]", begin: str, pump: str, end: str) -> Callable[[int], Any]:
    def make(size: int) -> Any:
        text = begin + pump * (size // len(pump)) + end
        return text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text

    return make


def alphabet(pattern: "re.Pattern[Any]") -> tuple[list[str], list[str]]:
    """The runs of literals in it, and characters of each kind that it tells apart, at most 24."""
    text = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    tree = _parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags)
    pieces, singles = [""], []
    for kind, value in _leaves(tree):
        if kind == sre.LITERAL:
            pieces[-1] += chr(value)
            singles.append(chr(value))
        else:
            pieces.append("")
            singles += [chr(value[0]), chr(value[1])] if kind == sre.RANGE else _OF_CATEGORY.get(value, ["x"])
    singles += ["a", "!", " ", "\n", "\xe9"]
    return [piece for piece in dict.fromkeys(pieces) if len(piece) > 1], list(dict.fromkeys(singles))[:24]


_OF_CATEGORY: dict[Any, list[str]] = {
    sre.CATEGORY_DIGIT: ["0"],
    sre.CATEGORY_SPACE: [" ", "\n"],
    sre.CATEGORY_WORD: ["a", "_"],
    sre.CATEGORY_NOT_SPACE: ["a"],
}


def _leaves(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Literals, ranges and categories, in order."""
    for kind, value in tree:
        if kind in (sre.LITERAL, sre.NOT_LITERAL):
            yield sre.LITERAL, value
        elif kind in (sre.RANGE, sre.CATEGORY):
            yield kind, value
        elif kind == sre.IN:
            yield from _leaves(value)
            yield sre.ANY, None
        elif kind == sre.BRANCH:
            for each in value[1]:
                yield from _leaves(each)
        elif isinstance(value, tuple | list):
            for each in value:
                if isinstance(each, _parser.SubPattern):
                    yield from _leaves(each)
            yield sre.ANY, None
        elif isinstance(value, _parser.SubPattern):
            yield from _leaves(value)
