"""SQL stays SQL: the named statements of queries.sql, as `QUERIES["flush"]`."""

import re
from importlib import resources


def named(sql: str) -> dict[str, str]:
    """The statements of a file by the name in the `-- name: NAME` line above each, without its semicolon."""
    parts = re.split(r"^-- name: (\w+)\n", sql, flags=re.MULTILINE)[1:]
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}


QUERIES = named(resources.files("gatebook.db").joinpath("queries.sql").read_text())
