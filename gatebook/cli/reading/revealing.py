"""--reveal: to see what is masked. Nothing is asked for unless it is given, so that an older Gatebook understands."""

from collections.abc import Callable

import click


def reveal_option(command: Callable[..., None]) -> Callable[..., None]:
    """For commands that show what clients sent."""
    return click.option("--reveal", is_flag=True, help="Values that are masked otherwise, too. That is noted.")(command)


def reveal_query(reveal: bool) -> dict[str, str | int | None]:
    """What to add to a query."""
    return {"reveal": 1 if reveal else None}
