"""The threat model is not a wish: beside each threat stands a test, and it is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (?!---|who, )(.+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def _threats() -> list[tuple[str, str, str]]:
    text = (ROOT / "SECURITY.md").read_text()
    model = text[text.index("## Who, what they can reach") : text.index("## What is not promised")]
    return ROW.findall(model)


def test_beside_each_threat_stands_a_test_that_is_there() -> None:
    assert len(_threats()) > 20
    for threat, _, shown_by in _threats():
        tests = TEST.findall(shown_by)
        assert tests, f"no test is named beside: {threat}"
        for file, name in tests:
            assert (ROOT / file).is_file(), f"{file}, named beside: {threat}"
            defined = {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}
            assert not name or name in defined, f"{file} has no {name}, named beside: {threat}"


def test_nothing_but_tests_is_named_as_what_shows_it() -> None:
    for threat, _, shown_by in _threats():
        assert not TEST.sub("", shown_by).strip(" ,;"), f"{shown_by} beside: {threat}"
