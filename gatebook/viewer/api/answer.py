"""An answer in JSON."""

import orjson
from starlette.responses import Response


def json_answer(value: object) -> Response:
    """`value` as JSON; what orjson knows beside the usual is a Fragment, which is JSON already."""
    return Response(orjson.dumps(value), media_type="application/json")
