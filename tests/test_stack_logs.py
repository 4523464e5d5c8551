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
    reader = logs.Reader(folder, ["db"])
    reader.skip()
    assert logs.copy_and_truncate(folder / "db.log", most_bytes=1)
    assert (folder / "db.log.1").read_text() == "db one\ndb two\n"
    assert list(reader.new()) == []
    (folder / "db.log").write_text("anew\n")
    assert list(reader.new()) == [("db", "anew")]


def test_no_line_of_the_access_log_is_missed_or_shown_twice_when_it_is_renamed(folder: Path) -> None:
    """Also what its writer still adds before it hears of it, and while there is no new file yet."""
    reader = logs.Reader(folder, ["access"])
    assert len(list(reader.last(None))) == 2
    writer = open(folder / "access.log", "a", buffering=1)  # noqa: SIM115  # as nginx holds it open
    (folder / "access.log").rename(folder / "access.log.1800000000")
    writer.write("before it heard\n")
    assert list(reader.new()) == []  # who is asked for has no file
    (folder / "access.log").write_text("after\n")
    assert [line for _, line in reader.new()] == ["before it heard", "after"]
    assert list(reader.new()) == []
    writer.close()


def test_the_pieces_of_the_access_log_are_read_in_order(folder: Path) -> None:
    for number in (9, 1800000000, 10):
        (folder / f"access.log.{number}").write_text(f"{number} one\n{number} two\n")
    (folder / "access.log.gz").write_text("not a piece\n")
    order = [f"{name} {word}" for name in ("9", "10", "1800000000", "access") for word in ("one", "two")]
    assert [line for _, line in logs.Reader(folder, ["access"]).last(None)] == order
    for count in range(9):
        reader = logs.Reader(folder, ["access"])
        assert [line for _, line in reader.last(count)] == order[len(order) - count :]
        assert list(reader.new()) == []
    reader = logs.Reader(folder, ["access"])
    reader.skip()
    assert list(reader.new()) == []


def test_a_short_log_stays(folder: Path) -> None:
    assert not logs.copy_and_truncate(folder / "db.log", most_bytes=100)
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
