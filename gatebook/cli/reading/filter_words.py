"""FILTER as an argument: any number of words, joined by blanks, and what a shell offers for them.

Rule: a word such as -status:200, -"text" or -(...) is the filter's, though options begin like that. No option has a
field and an operator in its name, so nothing is ambiguous; all other words that begin with - stand behind `--`.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LEFT_OUT = re.compile(r'-(?:\w{2,}[.:=<>]|["(])')
_HELD = "\0"  # before such a word while click sorts out the options; no word of a command line can hold it


class FilterCommand(click.Command):
    """A command whose arguments are a filter."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        held = [_HELD + word if _LEFT_OUT.match(word) else word for word in args[:end]]
        try:
            return super().parse_args(ctx, [*held, *args[end:]])
        except click.NoSuchOption as error:
            if error.option_name.startswith("--"):
                raise
            hint = "a word of the filter that begins with - goes behind --"
            raise click.UsageError(f"{error.format_message()} ({hint})", ctx) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What a filter may ask for, from the table that is the language's own."""
        from gatebook.filter.fields import FIELDS

        with formatter.section("Filter"):
            formatter.write_dl([(field.example, field.help) for field in FIELDS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """What begins with - may be an option, or a field to leave out."""
        return [*super().shell_complete(ctx, incomplete), *_fields(incomplete)]


def _offered(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    return list(_fields(incomplete))


def _fields(incomplete: str) -> "Iterator[CompletionItem[str]]":
    from click.shell_completion import CompletionItem

    from gatebook.filter.fields import FIELDS

    sign = "-" if incomplete.startswith("-") else ""
    for field in FIELDS:
        word = f"{sign}{field.word}." if field.takes_key else f"{sign}{field.word}:"
        if word.startswith(incomplete) and word != incomplete:  # which bash would add behind its colon once more
            yield CompletionItem(word, help=field.help)


def _joined(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> str:
    return " ".join(word.removeprefix(_HELD) for word in words)


def filter_argument(required: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument, for the parameter `filter`."""
    metavar = "FILTER..." if required else "[FILTER]..."
    return click.argument(
        "filter", metavar=metavar, nargs=-1, required=required, callback=_joined, shell_complete=_offered
    )
