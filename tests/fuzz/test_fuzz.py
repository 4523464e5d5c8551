"""Nothing that strangers send breaks what reads it: the corpus once more, and some new inputs. `make fuzz` tries more.

Each target is also seen to fail: what it watches is broken on purpose, one mistake a target.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from fuzz import corpus, driver
from fuzz.targets import TARGETS
from gatebook.access import access, attempts, session, token
from gatebook.app import capture, protocol
from gatebook.errors import UserError
from gatebook.filter import blocks, sql, written
from gatebook.redact import Redaction, redaction
from gatebook.viewer import passage
from gatebook.viewer.api import body as api_body
from gatebook.viewer.api import parameters
from gatebook.viewer.events import position
from gatebook.viewer.pages import link
from gatebook.viewer.shown import charset, coding, difference, form, image, json_tree, jwt, multipart, text, xml

SEED = 7
TRIES = 150
SECONDS = 0.4  # for each target, whatever comes first


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_and_what_is_new_breaks_nothing(name: str) -> None:
    failures = list(driver.replayed(TARGETS[name]))
    assert not failures, failures[0].trace
    failure = driver.run(
        TARGETS[name], SEED, SECONDS, len(corpus.read(name)) + len(TARGETS[name].seeds) + TRIES
    ).failure
    assert failure is None, f"{failure.trace}\n{failure.data!r}"


def test_each_kept_input_is_of_a_target() -> None:
    assert {path.stem for path in corpus.FOLDER.iterdir()} <= set(TARGETS)


def _raises(kind: type[Exception]) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> Any:
        raise kind("broken")

    return raising


def _bombs(content: bytes, name: str, cut: bool) -> tuple[bytes, bool]:
    import zlib

    try:
        return zlib.decompress(content, coding._bits(name, content)), False
    except zlib.error:
        raise coding.NotDecodable("broken") from None


# (target, where, what, what it is replaced with)
MISTAKES: list[tuple[str, Any, str, Any]] = [
    ("cookie", session, "_ANYWHERE", re.compile(rf"(^{session.COOKIE}=)([^;]+)")),
    ("session", session.hmac, "compare_digest", lambda one, other: one[:9] == other[:9]),
    ("token", token, "_TOKEN", re.compile("gatebook_([0-9a-f]{11,12})_([A-Za-z0-9_-]{42,43})")),
    ("host", access, "_matches", lambda name, pattern: pattern.lstrip("*") in name),
    ("attempts", attempts, "wait_s", lambda wrong: 0.0),
    ("filter", sql.Parameters, "add", lambda self, value, cast: f"'{value}'::{cast}"),
    ("term", written, "_in_quotes", lambda text: f'"{text}"'),
    ("blocks", blocks, "hashed", lambda *words: hash(words) % 999),
    ("cursor", parameters.Begin, "next", lambda self, beyond: str(beyond)),
    ("position", position, "_LARGEST_XID", 2**70),
    ("range", api_body, "_last_bytes", lambda count, size: range(size - count, size)),
    ("link", link, "quote", lambda text, *_: str(text)),
    ("hop", capture, "request_uuid", lambda id, ms: f"00000000-0000-7000-8000-{id[:12]}"),
    ("protocol", protocol.Connection, "_give_back", lambda self: None),
    ("client", capture, "_is_trusted", lambda address, trusted: address.startswith("1")),
    ("log", passage, "BEGIN", b'{"stamp"'),
    ("redact", redaction, "replaced", lambda text, spans, mask: text[1:] + mask(text)),
    ("secret", Redaction, "_header", lambda self, name, value: value),
    ("body", text, "escape", lambda sent: text.Markup(sent)),
    ("json", json_tree, "_characters", lambda string: string[1:-1]),
    ("xml", xml._Reader, "_entity", lambda self, *_: None),
    ("form", form, "unquote_to_bytes", lambda sent: sent),
    ("multipart", multipart._Reader, "_data", lambda self, data, first, end: None),
    ("jwt", jwt, "_object", lambda text: {"alg": 1}),
    ("coding", coding, "_inflated", _bombs),
    ("charset", charset, "_decoded", lambda content, _: charset.Decoded(content.decode(errors="replace"), "utf-8", 0)),
    ("image", image.Image, "drawn", property(lambda self: True)),
    ("text", text, "_odd", lambda sent, keep: []),
    ("compare", difference, "_aligned", lambda a, b: []),
    ("settings", UserError, "__str__", lambda self: "hunter2-c4n4ry"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "where", "what", "broken"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_each_target_sees_a_mistake(
    name: str, where: Any, what: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, what, broken)
    monkeypatch.setattr(driver, "_shrunk", lambda target, failure: failure)
    assert driver.run(TARGETS[name], SEED, 60.0).failure  # it ends with the first


def test_each_target_has_a_mistake() -> None:
    assert {mistake[0] for mistake in MISTAKES} == set(TARGETS)


def test_an_input_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(_: bytes) -> None:
        while True:
            re.fullmatch("(a|aa)+$", "a" * 60 + "b")

    monkeypatch.setattr(driver, "HANG_S", 0.05)
    failure = driver.tried(driver.Target("hangs", hangs, (), ()), b"")
    assert failure and failure.error == "Hangs"


def test_a_failing_input_is_shrunk() -> None:
    def fails(data: bytes) -> None:
        assert b"<" not in data

    failure = driver.run(driver.Target("fails", fails, (), (b"a" * 500 + b"<" + b"b" * 500,)), 1, 1).failure
    assert failure and failure.data == b"<"
