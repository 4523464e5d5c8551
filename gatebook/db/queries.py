"""SQL stays SQL: the named statements of queries.sql, as `QUERIES["flush"]`."""

import re
from importlib import resources


def named(package: str, file: str) -> dict[str, str]:
    """The statements of a package's file by the name in the `-- name: NAME` line above each, without its semicolon."""
    sql = resources.files(package).joinpath(file).read_text()
    parts = re.split(r"^-- name: (\w+)\n", sql, flags=re.MULTILINE)[1:]
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}


QUERIES = named("gatebook.db", "queries.sql")
