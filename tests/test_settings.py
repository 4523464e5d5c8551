"""One table of settings: parsed once, refused with a word that helps, documented."""

from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest

from gatebook.errors import UserError
from gatebook.settings import Address, Settings, read

README = Path(__file__).parent.parent / "README.md"


def test_the_defaults_stand() -> None:
    found = read({})
    assert (found.body_limit, found.body_max, found.scale, found.trusted_proxies) == (10 * 2**20, 2**30, 3, ())
    assert found.proxy_upstream == (Address(host="webapp", port=8000),)


def test_the_command_line_wins_over_the_environment() -> None:
    assert read({"GATEBOOK_SCALE": "5"}).scale == 5
    assert read({"GATEBOOK_SCALE": "5"}, scale="7").scale == 7
    assert read({"GATEBOOK_SCALE": "5"}, scale=None).scale == 5


@pytest.mark.parametrize(
    ("raw", "size"),
    [("1048576", 2**20), ("10MiB", 10 * 2**20), ("10 MB", 10 * 2**20), ("512k", 2**19), ("1g", 2**30), ("7b", 7)],
)
def test_sizes_are_read_in_their_usual_notations(raw: str, size: int) -> None:
    assert read({"GATEBOOK_BODY_MAX": raw}).body_max == size


def test_addresses_and_networks_are_read() -> None:
    found = read({
        "PROXY_UPSTREAM": "unix:/run/a.sock, [::1]:80 webapp_1:8000",
        "GATEBOOK_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.7 2001:db8::/32",
    })  # fmt: skip
    assert list(map(str, found.proxy_upstream)) == ["unix:/run/a.sock", "[::1]:80", "webapp_1:8000"]
    assert found.trusted_proxies == tuple(map(ip_network, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]))


@pytest.mark.parametrize(
    ("variable", "raw"),
    [
        ("GATEBOOK_BODY_LIMIT", "ten"),
        ("GATEBOOK_BODY_LIMIT", "0"),
        ("GATEBOOK_BODY_LIMIT", "-1"),
        ("GATEBOOK_BODY_LIMIT", "1GiB"),
        ("GATEBOOK_SCALE", "0"),
        ("GATEBOOK_SCALE", "٣"),
        ("GATEBOOK_PORT", "65536"),
        ("GATEBOOK_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("GATEBOOK_TRUSTED_PROXIES", "localhost"),
        ("GATEBOOK_REPLICA", "a b"),
        ("GATEBOOK_REPLICA", "a\r\nX: y"),
        ("GATEBOOK_BIND", "8000"),
        ("PROXY_UPSTREAM", ""),
        ("PROXY_UPSTREAM", "webapp"),
        ("PROXY_UPSTREAM", "webapp:0"),
        ("PROXY_UPSTREAM", "webapp:8000; return 200"),
        ("PROXY_UPSTREAM", "unix:/a;b"),
        ("POSTGRES_HOST", ""),
    ],
)
def test_a_malformed_value_is_named_with_what_was_expected(variable: str, raw: str) -> None:
    with pytest.raises(UserError) as caught:
        read({variable: raw})
    assert f"{variable} is {raw!r}" in caught.value.what
    assert caught.value.hint


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError) as caught:
        read({"GATEBOOK_BODY_LIMITS": "1"})
    assert "did you mean GATEBOOK_BODY_LIMIT?" in caught.value.hint


def test_the_password_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    settings = read({"POSTGRES_PASSWORD_FILE": str(tmp_path / "password")})
    assert settings.postgres_password == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(UserError, match="cannot be read"):
        read({"POSTGRES_PASSWORD_FILE": str(tmp_path / "absent")})
    with pytest.raises(UserError, match="both"):
        read({"POSTGRES_PASSWORD_FILE": str(tmp_path / "password"), "POSTGRES_PASSWORD": "x"})


def test_names_to_mask_may_be_added_to_the_default() -> None:
    default = read({}).redact
    assert {"authorization", "cookie", "x-api-key", "*password*", "*token"} <= set(default)
    assert read({"GATEBOOK_REDACT": "Default, session_id"}).redact == (*default, "session_id")
    assert read({"GATEBOOK_REDACT": "session_id"}).redact == ("session_id",)
    assert read({"GATEBOOK_REDACT": ""}).redact == ()


def test_every_setting_is_documented() -> None:
    text = README.read_text()
    assert [row.metadata["variable"] for row in fields(Settings) if f"`{row.metadata['variable']}`" not in text] == []
