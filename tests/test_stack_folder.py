"""The data folder: whose it is, one runner, what is deleted."""

import os
from pathlib import Path

import pytest

from gatebook.errors import UserError
from gatebook.stack.account import Account
from gatebook.stack.folder import Folder, default, write_atomically


def test_the_default_is_root_s_or_the_xdg_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default({"XDG_DATA_HOME": "/x"}) == Path("/var/lib/gatebook")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default({}) == Path("/home/ada/.local/share/gatebook")
    assert default({"XDG_DATA_HOME": "/x"}) == Path("/x/gatebook")
    assert default({"XDG_DATA_HOME": "relative"}) == Path("/home/ada/.local/share/gatebook")
    monkeypatch.setattr("sys.platform", "darwin")
    assert default({}) == Path("/home/ada/Library/Application Support/gatebook")


def test_only_one_has_the_folder_at_a_time(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "data"), Folder(tmp_path / "data")
    first.claim()
    assert first.lock()
    assert not second.lock()
    first.unlock()
    assert second.lock()
    second.unlock()


def test_a_lock_on_a_deleted_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our opening it and our having it, `down --volumes` may delete the file."""
    folder = Folder(tmp_path / "data")
    folder.claim()
    real, opened = os.open, []

    def open_and_lose(*args: object) -> int:
        descriptor: int = real(*args)  # type: ignore[call-overload]
        if not opened:
            folder.lock_file.unlink()
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr("os.open", open_and_lose)
    assert folder.lock()
    monkeypatch.undo()
    assert len(opened) == 2
    assert not Folder(tmp_path / "data").lock()
    folder.unlock()


def test_a_folder_with_files_of_others_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UserError, match="was not made by Gatebook"):
        Folder(tmp_path).claim()
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.claim()
    os.chown(folder.marker, 12345, 12345)
    with pytest.raises(UserError, match="belongs to user 12345"):
        folder.check()


def test_forgetting_leaves_the_folder_if_it_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    for place, stays in ((tmp_path / "before", True), (tmp_path / "made", False)):
        folder = Folder(place)
        folder.claim()
        folder.make(None)
        (folder.spool / "something.sqlite").touch()
        folder.forget()
        assert place.exists() == stays
        assert not folder.spool.exists()


def test_what_waits_in_the_spool_nobody_else_can_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.claim()
    folder.make(None)
    assert folder.spool == tmp_path / "data" / "spool"
    assert folder.spool.stat().st_mode & 0o777 == 0o700


def test_sockets_move_to_a_short_place_when_the_path_is_long_or_strange(tmp_path: Path) -> None:
    assert Folder(Path("/srv/gatebook")).run == Path("/srv/gatebook/run")
    for strange in ("/srv/" + "x" * 60, "/srv/with blank", "/srv/qu'ote", "/srv/semi;colon"):
        run = Folder(Path(strange)).run
        assert run.parent == Path("/tmp")
        assert len(str(run)) < 50
        assert run == Folder(Path(strange)).run
    assert Folder(Path("/srv/with blank")).run != Folder(Path("/srv/with  blank")).run


def test_a_short_place_that_someone_else_prepared_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.claim()
    folder.run = tmp_path / "trap"
    folder.run.symlink_to(tmp_path)
    with pytest.raises(UserError, match="belongs to someone else"):
        folder.make(None)


def test_the_account_reaches_what_modes_let_it(tmp_path: Path) -> None:
    other = Account("other", 54321, 54321)
    assert other.reaches(Path("/usr/bin/env"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "open").mkdir(mode=0o755)
    assert not other.reaches(closed / "open")
    assert not other.reaches(tmp_path / "missing")
    mine = Account("mine", os.geteuid(), os.getegid())
    assert mine.reaches(closed / "open")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr("os.rename", _full)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def _full(*args: object) -> None:
    raise OSError("full")
