"""How bash, zsh and fish complete a command line of gatebook.

click has the answers and most of the conversation. Ours is what a filter needs: no blank after the colon of a field,
and in bash, which takes a colon for the end of a word, the words as they are on the line.
"""

import os
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_VARIABLE = "_GATEBOOK_COMPLETE"

_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        if [[ -z $value ]]; then
            continue
        fi
        COMPREPLY+=("$value")
        if [[ $value == *[:.] ]]; then
            compopt -o nospace 2>/dev/null
        fi
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local value
    local -a answer going_on ending
    local -x COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete
    answer=("${(f)$($words[1] 2>/dev/null)}")
    for value in $answer; do
        if [[ ${value%%%%:*} == *[\\\\.] ]]; then
            going_on+=("$value")
        else
            ending+=("$value")
        fi
    done
    (( $#going_on )) && _describe -V field going_on -U -S ''
    (( $#ending )) && _describe -V unsorted ending -U
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    set -lx %(complete_var)s fish_complete
    for answer in (%(prog_name)s 2>/dev/null)
        string split -m 1 -f 2 , -- $answer
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    source_template = _BASH

    def source(self) -> str:
        return ShellComplete.source(self)  # without asking which bash there is: the script does with an old one

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() else words.pop()
        return words[1:], incomplete


class _Zsh(ZshComplete):
    source_template = _ZSH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = item.value.replace(":", r"\:")
        return f"{value}:{item.help or ''}"


class _Fish(FishComplete):
    source_template = _FISH


_SHELLS = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def install() -> None:
    """Have click answer the shells as ours want it."""
    for name, shell in _SHELLS.items():
        add_completion_class(shell, name)


def script(name: str) -> str:
    """What the shell has to read."""
    from gatebook.cli import gatebook

    return _SHELLS[name](gatebook, {}, "gatebook", _VARIABLE).source()
