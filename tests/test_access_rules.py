"""Who may look: the verdict, sessions, tokens, and how fast passwords may be tried."""

import hashlib
import re
import time
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.access import Access, attempts, session, token
from gatebook.access.access import is_own_name
from gatebook.access.attempts import MOST_CLIENTS, MOST_WAIT_S, Attempts, wait_s
from gatebook.settings import read

NOW = 1_800_000_000.0
KEY = bytes(32)
DATABASE_SECRET = "d" * 32


def access(**environment: str) -> Access:
    return Access(read({"POSTGRES_PASSWORD": DATABASE_SECRET, **environment}))


@pytest.fixture(scope="module")
def locked() -> Access:
    return access(GATEBOOK_VIEW_PASSWORD="open sesame")


def test_without_settings_anybody_may_look() -> None:
    assert access().open and not access().asks_password
    assert access().refusal("192.0.2.1", "anything") is None and access().refusal(None, "") is None
    assert access().hides("192.0.2.1", "anything", [], NOW) is None


@pytest.mark.parametrize(
    ("allow", "deny", "client", "refused"),
    [
        ("10.0.0.0/8", "", "10.1.2.3", None),
        ("10.0.0.0/8", "", "192.0.2.1", "network"),
        ("10.0.0.0/8", "10.6.6.0/24", "10.6.6.6", "network"),
        ("", "10.6.6.0/24", "10.6.6.6", "network"),
        ("", "10.6.6.0/24", "10.6.7.6", None),
        ("10.0.0.0/8", "", "::ffff:10.1.2.3", None),
        ("", "10.6.6.0/24", "::ffff:10.6.6.6", "network"),
        ("2001:db8::/32", "", "2001:db8::1", None),
        ("2001:db8::/32", "", "10.1.2.3", "network"),
        ("10.0.0.0/8", "", None, "network"),
        ("", "10.0.0.0/8", None, None),
        ("10.0.0.0/8", "", "unix:", "network"),
        ("", "10.0.0.0/8", "unix:", None),
    ],
)
def test_networks_are_let_in_and_kept_out_and_what_is_denied_stays_denied(
    allow: str, deny: str, client: str | None, refused: str | None
) -> None:
    asked = access(GATEBOOK_VIEW_ALLOW=allow, GATEBOOK_VIEW_DENY=deny)
    assert asked.refusal(client, "gate.example") == refused
    assert not asked.open
    if client:
        assert asked.hides(client, "gate.example", [], NOW) == refused


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("gate.example", True),
        ("GATE.example:8080", True),
        ("gate.example.", True),
        ("a.deep.example.org", True),
        ("localhost", True),
        ("localhost:8080", True),
        ("a.localhost", True),
        ("127.0.0.1:8080", True),
        ("192.0.2.7", True),
        ("[::1]:8080", True),
        ("[2001:db8::1]", True),
        ("", True),
        ("example.org", False),
        (".example.org", False),
        ("evil.example", False),
        ("gate.example.evil.example", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("[evil]", False),
        ("a" * 400 + ".localhost.evil.example", False),
    ],
)
def test_only_own_names_and_addresses_are_answered_to(host: str, ours: bool) -> None:
    asked = access(GATEBOOK_VIEW_HOSTS="gate.example *.example.org")
    assert asked.refusal("127.0.0.1", host) == (None if ours else "host")
    assert is_own_name(host, ("gate.example", "*.example.org")) is ours


def test_the_network_is_what_is_said_first() -> None:
    asked = access(GATEBOOK_VIEW_DENY="192.0.2.0/24", GATEBOOK_VIEW_HOSTS="gate.example")
    assert asked.refusal("192.0.2.1", "evil.example") == "network"


def test_whoever_says_the_password_gets_a_session_that_ends(locked: Access) -> None:
    assert locked.is_password("open sesame") and not locked.is_password("open sesam") and not locked.is_password("")
    cookies = [f"theme=dark; {session.COOKIE}={locked.new_session(NOW)}"]
    assert locked.session_ends(cookies, NOW + 1) == NOW + session.LASTS_S
    assert locked.session_ends(cookies, NOW + session.LASTS_S) is None
    assert locked.hides("192.0.2.1", "any", cookies, NOW + 1) is None
    assert locked.hides("192.0.2.1", "any", [], NOW) == "password"


def test_a_session_does_not_help_where_the_network_is_denied() -> None:
    asked = access(GATEBOOK_VIEW_PASSWORD="p", GATEBOOK_VIEW_DENY="192.0.2.0/24")
    cookies = [f"{session.COOKIE}={asked.new_session(NOW)}"]
    assert asked.hides("198.51.100.1", "any", cookies, NOW) is None
    assert asked.hides("192.0.2.1", "any", cookies, NOW) == "network"


def test_another_password_or_another_database_ends_all_sessions(locked: Access) -> None:
    cookies = [f"{session.COOKIE}={locked.new_session(NOW)}"]
    same = access(GATEBOOK_VIEW_PASSWORD="open sesame")
    assert same.session_ends(cookies, NOW), "all parts of one Gatebook know each other's sessions"
    for other in (
        access(GATEBOOK_VIEW_PASSWORD="open sesame!"),
        access(GATEBOOK_VIEW_PASSWORD="open sesame", POSTGRES_PASSWORD="another"),
        access(),
    ):
        assert other.session_ends(cookies, NOW) is None
    assert not access().is_password("")


def test_a_password_may_hold_anything() -> None:
    asked = access(GATEBOOK_VIEW_PASSWORD="pä\udcffß wörd")
    assert asked.is_password("pä\udcffß wörd") and not asked.is_password("pä\udcfeß wörd")


@given(st.text(), st.integers(0, 55), st.characters())
def test_no_other_value_is_a_session(text: str, at: int, char: str) -> None:
    value = session.new(KEY, NOW)
    assert session.ends(KEY, value) == NOW + session.LASTS_S
    changed = value[:at] + char + value[at + 1 :]
    assert changed == value or session.ends(KEY, changed) is None
    assert session.ends(KEY, text) is None and session.ends(KEY, value + text[:1]) in (None, NOW + session.LASTS_S)
    assert session.ends(bytes(31) + b"x", value) is None


def test_of_several_sessions_the_last_one_to_end_counts(locked: Access) -> None:
    old, new = locked.new_session(NOW), locked.new_session(NOW + 60)
    cookies = [f"{session.COOKIE}={new}; {session.COOKIE}={old}", f"{session.COOKIE}=no.session"]
    assert locked.session_ends(cookies, NOW + 61) == NOW + 60 + session.LASTS_S


def test_of_very_many_sessions_a_few_are_looked_at_and_all_are_withheld(
    locked: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    ends = session.ends
    monkeypatch.setattr(session, "ends", lambda key, value: looked_at.append(value) or ends(key, value))
    right, wrong = locked.new_session(NOW), session.new(KEY, NOW)
    many = "; ".join(f"{session.COOKIE}={value}" for value in [right, *[wrong] * 15_000])
    assert locked.session_ends([many, many], NOW) == NOW + session.LASTS_S
    assert 1 < len(looked_at) < 20
    [[_, kept]] = session.withheld([["Cookie", many]])
    assert right not in kept and wrong not in kept and kept.count(session.WITHHELD) == 15_001


_PIECES = [*"ab=; \t\"'\\,.é\x00\r\x0b", session.COOKIE, f"{session.COOKIE}="]
_COOKIE_TEXT = st.lists(st.sampled_from(_PIECES)).map("".join)


@given(st.lists(st.tuples(st.sampled_from(["Cookie", "cookie", "COOKIE", "X-Cookie", "Cookie2"]), _COOKIE_TEXT)))
def test_no_session_is_left_where_it_was_withheld_and_nothing_else_is_changed(headers: list[tuple[str, str]]) -> None:
    kept = session.withheld(headers)
    assert [name for name, _ in kept] == [name for name, _ in headers]
    for (_, before), (_, after) in zip(headers, kept, strict=True):
        anywhere = f'{session.COOKIE}[ \t]*=[ \t"]*[^ \t;,"]+'
        assert all(value.endswith(session.WITHHELD) for value in re.findall(anywhere, after))
        assert re.split(anywhere, before) == re.split(anywhere, after)


def test_what_surrounds_a_withheld_session_stays() -> None:
    [[_, kept]] = session.withheld([["cOOkie", f"a=1;  {session.COOKIE} =secret.x; b=2;{session.COOKIE}=; c"]])
    assert kept == f"a=1;  {session.COOKIE} =withheld; b=2;{session.COOKIE}=; c"
    other = [["Cookie", f"{session.COOKIE}x=2; a={session.COOKIE}"], ["X", session.COOKIE], [session.COOKIE, "3"]]
    assert session.withheld(other) == other


@pytest.mark.parametrize("name", ["Cookie", "Cookie2", "X-Forwarded-Cookie"])
@pytest.mark.parametrize("before", ["a,", "a, ", "\x0b", "\xa0", "my_", "a=1; ", '"'])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_session_is_withheld_however_cookies_were_put_together(name: str, before: str, quote: str) -> None:
    value = session.new(KEY, NOW)
    kept = session.withheld([[name, f"{before}{session.COOKIE}={quote}{value}{quote}, b=2"]])
    assert kept == [[name, f"{before}{session.COOKIE}={quote}withheld{quote}, b=2"]]


@pytest.mark.parametrize(
    "hostile", ["; " * 100_000, session.COOKIE * 20_000, f";{session.COOKIE}" * 20_000, " " * 300_000]
)
def test_a_long_cookie_is_looked_through_in_a_moment(hostile: str) -> None:
    began = time.process_time()
    session.withheld([["Cookie", hostile]])
    session.found([hostile])
    assert time.process_time() - began < 1


def test_a_token_is_found_by_its_id_and_known_by_its_hash() -> None:
    made, other = token.new(), token.new()
    assert re.fullmatch(r"gatebook_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", made.text)
    parts = token.parts(made.text)
    assert parts == (made.id, made.hash) and token.same(parts.hash, made.hash)
    assert made.hash == hashlib.sha256(made.text.rpartition(made.id + "_")[2].encode()).digest()
    assert made.text != other.text and made.id != other.id and not token.same(made.hash, other.hash)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gatebook_",
        "gatebook_0123456789ab_",
        f"Gatebook_0123456789ab_{'a' * 43}",
        f"gatebook_0123456789AB_{'a' * 43}",
        f"gatebook_0123456789ab_{'a' * 44}",
        f"gatebook_0123456789ab_{'a' * 42}\n",
    ],
)
def test_what_has_not_the_form_of_a_token_is_none(text: str) -> None:
    assert token.parts(text) is None


def test_the_operators_token_depends_on_a_secret_that_cannot_be_guessed() -> None:
    first, other = token.operator("a" * 32), token.operator("b" * 32)
    assert first and other and first != other and first == token.operator("a" * 32)
    assert token.parts(first) is None, "it is in no table"
    assert token.operator("") is None and token.operator("changeme") is None


def test_who_is_wrong_again_and_again_waits_longer_each_time() -> None:
    attempts, now, waited = Attempts(), 0.0, []
    for _ in range(14):
        while (left := attempts.begin("192.0.2.1", now)) > 0:
            waited.append(left)
            now += left
        attempts.end("192.0.2.1", False, now)
    assert [round(one) for one in waited] == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300], abs=1)
    assert attempts.begin("192.0.2.2", now) == 0, "others need not wait for it"
    assert wait_s(10**9) == MOST_WAIT_S


def test_who_was_right_begins_anew() -> None:
    attempts = Attempts()
    for _ in range(3):
        assert attempts.begin("192.0.2.1", 0) == 0
        attempts.end("192.0.2.1", False, 0)
    assert attempts.begin("192.0.2.1", 0) > 0
    assert attempts.begin("192.0.2.1", 10) == 0
    attempts.end("192.0.2.1", True, 10)
    assert attempts.begin("192.0.2.1", 10) == 0 and len(attempts) == 0


def test_one_attempt_a_client_at_a_time_and_what_was_not_found_out_counts_for_nothing() -> None:
    attempts = Attempts()
    assert attempts.begin("2001:db8::1", 0) == 0
    assert attempts.begin("2001:db8::ffff", 0) == 1, "the same network of 64 bits"
    assert attempts.begin("2001:db8:0:1::1", 0) == 1, "the same network of 48 bits"
    assert attempts.begin("2001:db8:1::1", 0) == 0
    attempts.end("2001:db8::1", None, 0)
    assert attempts.begin("2001:db8::2", 0) == 0 and len(attempts) == 0


def test_what_is_known_of_clients_is_bounded_and_forgotten() -> None:
    attempts = Attempts()
    for number in range(MOST_CLIENTS + 100):
        client = str(ip_address(number))
        attempts.begin(client, 0)
        attempts.end(client, False, 0)
    assert len(attempts) == MOST_CLIENTS
    attempts.begin("192.0.2.1", 4000)
    attempts.end("192.0.2.1", False, 4000)
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("client", "known"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("2001:db8:1:2:3::4", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        (None, [""]),
    ],
)
def test_clients_are_known_by_what_one_of_them_or_their_site_has(client: str | None, known: list[str]) -> None:
    assert list(attempts.known_by(client)) == known


def test_who_guesses_from_ever_new_networks_of_one_site_waits_as_well() -> None:
    """From each /64 once: within a day it may try hardly more often than one client."""
    attempts, now, tried = Attempts(), 0.0, 0
    while now < 86_400:
        client = f"2001:db8:0:{tried:x}::1"
        if wait := attempts.begin(client, now):
            now += wait
            continue
        assert attempts.begin(f"2001:db8:0:{tried + 1:x}::1", now) == 1, "one try at a time"
        assert attempts.begin("2001:db8:1::1", now) == 0, "another site does not wait for it"
        attempts.end("2001:db8:1::1", None, now)
        attempts.end(client, False, now)
        tried += 1
    assert tried < 86_400 / MOST_WAIT_S + 100


def test_a_site_waits_for_its_slips_later_than_one_of_it_and_not_once_somebody_was_right() -> None:
    attempts = Attempts()
    colleagues = [f"2001:db8:0:{number:x}::1" for number in range(20)]
    for client in colleagues:
        assert attempts.begin(client, 0) == 0, "one slip each keeps nobody waiting"
        attempts.end(client, False, 0)
    for now in (10, 20, 30, 40):
        assert attempts.begin(colleagues[0], now) == 0
        attempts.end(colleagues[0], False, now)
    assert attempts.begin("2001:db8:0:ffff::1", 40) == 2, "now all of them wait"
    assert attempts.begin("2001:db8:0:ffff::1", 42) == 0
    attempts.end("2001:db8:0:ffff::1", True, 42)
    assert attempts.begin(colleagues[0], 40) > 1, "who was wrong so often still waits"
    assert attempts.begin("2001:db8:0:eeee::1", 40) == 0, "and nobody else"


def test_secrets_are_in_no_text_of_an_access(locked: Access) -> None:
    shown: Any = vars(locked), repr(locked)
    assert "open sesame" not in repr(shown)
