"""Is the port to be had, and if not, what to try."""

import socket

import pytest

from gatebook.errors import UserError
from gatebook.stack import port


def test_a_free_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    assert port.check("127.0.0.1", number, "gatebook up") == "127.0.0.1"


@pytest.mark.parametrize("taker", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_seen_and_the_next_free_one_is_named(taker: str) -> None:
    with socket.create_server((taker, 0)) as listener:
        number = listener.getsockname()[1]
        with pytest.raises(UserError) as raised:
            port.check("127.0.0.1", number, "gatebook up")
        assert f"port {number} is taken" in raised.value.what
        offered = int(raised.value.hint.split()[-1])
        assert offered > number
        assert port.check("127.0.0.1", offered, "gatebook up")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match="no such address"):
        port.check("192.0.2.1", 8080, "gatebook up")


def test_what_is_not_an_address_is_refused() -> None:
    for wrong in ("no such host", "127.0.0.1; listen 80", "a" * 300):
        with pytest.raises(UserError, match="cannot listen on"):
            port.check(wrong, 8080, "gatebook up")


def test_addresses_are_written_and_reached_as_they_must_be() -> None:
    assert port.as_written("127.0.0.1", 80) == "127.0.0.1:80"
    assert port.as_written("::1", 80) == "[::1]:80"
    assert [port.to_reach(each) for each in ("0.0.0.0", "::", "192.0.2.1")] == ["127.0.0.1", "::1", "192.0.2.1"]
