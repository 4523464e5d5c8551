"""A recorded request as the API shows it, in lists, alone, and in events alike.

`columns` of queries.sql is the select list that goes with it.
"""

from typing import Any

import asyncpg
import orjson

from gatebook.viewer import schema


def item(row: asyncpg.Record) -> dict[str, Any]:
    """What orjson makes schema.Recorded of."""
    told = {name: row[name] for name in schema.Recorded.model_fields}
    told["id"] = str(row["id"])
    told["headers"] = orjson.Fragment(row["headers"])  # JSON already
    return told
