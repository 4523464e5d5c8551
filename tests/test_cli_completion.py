"""`gatebook completion`: a real bash, on a terminal, completes commands, options and the fields of filters."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from reading import PATIENCE_S, environment, run

from gatebook.filter import FIELDS

ANSWERS = {
    "bash": "plain,method:\n",
    "zsh": "method\\::the method; case does not matter\n",
    "fish": "plain,method:\tthe method; case does not matter\n",
}
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\x07")


class Bash:
    """An interactive bash that has a command `gatebook` and its completion."""

    def __init__(self, folder: Path) -> None:
        script = folder / "gatebook"
        script.write_text(f"#!{sys.executable}\nfrom gatebook.cli import main\n\nmain()\n")  # as pip makes it
        script.chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env=environment(PATH=path, TERM="dumb", PS1="$ ", HOME=str(folder), INPUTRC="/dev/null"),
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder,
        )  # fmt: skip
        os.close(theirs)
        self._shown = ""
        self.type('eval "$(gatebook completion bash)"; echo rea""dy\n', "ready\n")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, keys: str, until: str) -> str:
        """What is shown from these keys on, up to `until`."""
        self._shown = ""
        os.write(self._ours, keys.encode())
        deadline = time.monotonic() + PATIENCE_S
        while until not in self._shown:
            assert time.monotonic() < deadline, f"not shown: {until!r} in {self._shown!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                told = os.read(self._ours, 1 << 16).decode()
                self._shown += ESCAPES.sub("", told).replace("\r\n", "\n").replace("\r", "")
        return self._shown

    def completes(self, line: str, to: str) -> None:
        """TAB makes `to` of the line, and nothing more: what is typed next stands right behind."""
        self.type(f"{line}\t|", f"{to}|")
        self.type("\x15", "")  # the line is thrown away

    def offers(self, line: str) -> list[str]:
        """What TAB TAB lists for the line."""
        shown = self.type(f"{line}\t\t", f"\n$ {line}")
        self.type("\x15", "")
        return shown.partition("\n")[2].rpartition("$ ")[0].split()


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    bash = Bash(tmp_path_factory.mktemp("bash"))
    yield bash
    bash.close()


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("gatebook ta", "gatebook tail "),
        ("gatebook tail --fo", "gatebook tail --follow "),
        ("gatebook tail meth", "gatebook tail method:"),
        ("gatebook tail -f method:POST pat", "gatebook tail -f method:POST path:"),
        ("gatebook tail heade", "gatebook tail header."),
        ("gatebook tail method:", "gatebook tail method:"),
        ("gatebook tail -trunc", "gatebook tail -truncated:"),
        ("gatebook tail -- -trunc", "gatebook tail -- -truncated:"),
        ("gatebook wait --timeout 3s cli", "gatebook wait --timeout 3s client:"),
        ("gatebook count --by rep", "gatebook count --by replica "),
        ("gatebook completion z", "gatebook completion zsh "),
        ("GATEBOOK_DATA=/x gatebook ta", "GATEBOOK_DATA=/x gatebook tail "),
        ("true && gatebook ta", "true && gatebook tail "),
    ],
)
def test_bash_completes(bash: Bash, line: str, whole: str) -> None:
    bash.completes(line, whole)


def test_bash_offers_every_field(bash: Bash) -> None:
    fields = {f"{field.word}{'.' if field.takes_key else ':'}" for field in FIELDS}
    assert set(bash.offers("gatebook tail ")) == fields


def test_bash_offers_nothing_where_a_value_stands(bash: Bash) -> None:
    """After a colon bash begins a new word, which is no field."""
    bash.completes("gatebook tail method:p", "gatebook tail method:p")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_the_fields(shell: str) -> None:
    words = {"COMP_WORDS": "gatebook tail meth", "COMP_CWORD": "meth" if shell == "fish" else "2"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'gatebook'; from gatebook.cli import main; main()"],
        env=environment(**words, _GATEBOOK_COMPLETE=f"{shell}_complete"), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith(ANSWERS[shell]), done.stderr
    script = run("completion", shell).stdout
    assert f"_GATEBOOK_COMPLETE={shell}_complete" in script or f"_GATEBOOK_COMPLETE {shell}_complete" in script


def test_completing_reads_nothing_heavy() -> None:
    """What a shell waits for at each TAB."""
    script = (
        "import sys; sys.argv[0] = 'gatebook'\nfrom gatebook.cli import main\n"
        "try: main()\nexcept SystemExit: print(sorted({'asyncio', 'httpx', 'lark', 'fastapi'} & set(sys.modules)))"
    )
    words = {"COMP_WORDS": "gatebook tail meth", "_GATEBOOK_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", script], env=environment(**words), capture_output=True, text=True)
    assert done.stdout == "plain,method:\n[]\n", done.stderr


def test_help_says_where_it_goes() -> None:
    assert '\n  eval "$(gatebook completion bash)" ' in run("completion", "--help").stdout
