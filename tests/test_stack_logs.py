"""Logs: read across rotation, bounded, shown without what would command a terminal."""

from pathlib import Path

import pytest

from gatebook.stack import logs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("access", "db", "webapp-1", "webapp-2"):
        (tmp_path / f"{name}.log").write_text(f"{name} one\n{name} two\n")
    return tmp_path


def test_all_are_read_but_the_access_log(folder: Path) -> None:
    names = {name for name, _ in logs.Reader(folder).last(None)}
    assert names == {"db", "webapp-1", "webapp-2"}
    assert {name for name, _ in logs.Reader(folder, ["access"]).last(None)} == {"access"}
    assert {name for name, _ in logs.Reader(folder, ["webapp"]).last(None)} == {"webapp-1", "webapp-2"}


def test_only_the_last_lines_and_then_only_new_ones(folder: Path) -> None:
    reader = logs.Reader(folder, ["db"])
    assert list(reader.last(1)) == [("db", "db two")]
    assert list(reader.new()) == []
    with open(folder / "db.log", "a") as file:
        file.write("db three\nhalf a li")
    assert list(reader.new()) == [("db", "db three")]
    with open(folder / "db.log", "a") as file:
        file.write("ne\n")
    assert list(reader.new()) == [("db", "half a line")]
    assert list(logs.Reader(folder, ["db"]).last(0)) == []


def test_a_reader_goes_on_after_the_log_was_put_away(folder: Path) -> None:
    reader = logs.Reader(folder, ["db", "access"])
    reader.skip()
    assert logs.copy_and_truncate(folder / "db.log", most_bytes=1)
    assert (folder / "db.log.1").read_text() == "db one\ndb two\n"
    assert logs.move_away(folder / "access.log", most_bytes=1)
    assert list(reader.new()) == []
    (folder / "db.log").write_text("anew\n")
    (folder / "access.log").write_text("anew\n")
    assert list(reader.new()) == [("access", "anew"), ("db", "anew")]


def test_a_short_log_stays(folder: Path) -> None:
    assert not logs.copy_and_truncate(folder / "db.log", most_bytes=100)
    assert not logs.move_away(folder / "access.log", most_bytes=100)
    assert not (folder / "db.log.1").exists()


def test_what_would_command_a_terminal_is_not_shown(folder: Path) -> None:
    (folder / "db.log").write_bytes(b"\x1b[2Jgone \xff\x9b \r\tend\n")
    ((_, line),) = logs.Reader(folder, ["db"]).last(None)
    assert line == "\ufffd[2Jgone \ufffd\ufffd \ufffd\tend"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ("", "")),
        ("starting\nlast line\n\n", ("last line", "")),
        ("Error: no gatebook: gone\nTry:   another\n", ("no gatebook: gone", "another")),
        ("1 [2] FATAL:  lock file exists\n1 [2] LOG:  database system is shut down\n", ("lock file exists", "")),
        ("nginx: [emerg] bind() failed (98)\n", ("bind() failed (98)", "")),
        ("2026/11/23 01:00:00 [emerg] 12#12: bind() failed\n", ("bind() failed", "")),
        ("real\n2026-11-23 01:24:57 +0000 gatebook: db ended\n", ("real", "")),
    ],
)
def test_a_part_s_last_words_are_its_own_reason(tmp_path: Path, said: str, expected: tuple[str, str]) -> None:
    path = tmp_path / "part.log"
    path.write_text("Error: of an earlier run\n" + said)
    assert logs.last_words(path, len("Error: of an earlier run\n")) == expected


def test_names_are_put_before_lines_in_colour_only_for_a_terminal() -> None:
    assert logs.Prefix(False).line("db", "text") == "db        | text"
    coloured = logs.Prefix(True)
    assert coloured.line("db", "text").startswith("\x1b[")
    assert coloured.line("db", "text") == coloured.line("db", "text") != coloured.line("lb", "text")
