"""The certificate that the local stack's load balancer shows: what is taken, and what is kept of it."""

import os
from pathlib import Path

import pytest
from certificates import Pair, make

from gatebook.errors import UserError
from gatebook.settings import read
from gatebook.stack import certificate
from gatebook.stack.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "stack")
    made.nginx.mkdir(parents=True)
    return made


def taken(folder: Folder, pair: Pair) -> certificate.Certificate:
    made = certificate.of(read(pair.settings), folder, None)
    assert made
    made.take()
    return made


def test_the_copy_of_the_key_is_for_its_owner_alone_and_can_be_forgotten(folder: Folder, tmp_path: Path) -> None:
    before = os.umask(0)
    made = taken(folder, make(tmp_path / "own"))
    os.umask(before)
    assert made.pair.stat().st_mode & 0o777 == 0o600
    made.forget()
    assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in folder.nginx.iterdir() if path.is_file())


def test_what_is_wrong_is_said_once_at_the_second_look_and_again_when_it_changes(
    folder: Folder, tmp_path: Path
) -> None:
    pair, other, said = make(tmp_path / "own"), make(tmp_path / "other"), []
    made = taken(folder, pair)
    good = pair.certificate.read_bytes()
    looks = {"mismatch": other.certificate.read_bytes(), "end of data": good[:300], "no start line": b"nonsense"}
    for reason, wrong in looks.items():
        pair.certificate.write_bytes(wrong)
        told = []
        for _ in range(4):
            assert not made.renew(said.append)
            told.append(len(said))
        assert told == [told[0], told[0] + 1, told[0] + 1, told[0] + 1], reason
        assert "the one before stays" in said[-1]
    pair.certificate.write_bytes(good)
    assert not made.renew(said.append) and len(said) == 3, "back to the one in use: nothing to do"
    pair.key.chmod(0)
    pair.certificate.unlink()
    assert not made.renew(said.append) and not made.renew(said.append)
    assert "cannot be read" in said[-1] and len(said) == 4
    pair.key.chmod(0o600)
    pair.certificate.write_bytes(other.certificate.read_bytes())
    pair.key.write_bytes(other.key.read_bytes())
    assert made.renew(said.append) and made.pair.read_bytes().startswith(other.certificate.read_bytes())


def test_no_tls_and_half_a_pair(folder: Folder) -> None:
    assert certificate.of(read({}), folder, None) is None
    for name in ("GATEBOOK_TLS_CERT", "GATEBOOK_TLS_KEY"):
        with pytest.raises(UserError, match=f"{name} is set and"):
            certificate.of(read({name: "/x"}), folder, None)
