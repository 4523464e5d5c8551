"""The OpenAPI document: valid, true, and such that its examples can be pasted.

Plot: a real viewer process on a real database with some hundred recorded requests. Schemathesis asks it what the
document allows and what it forbids, and compares what is answered with what is described.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from lines import line
from postgres import Cluster
from reading import Viewer
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from gatebook.identity import unix_ms
from gatebook.viewer.search.counting import BY

PLACE = Path(__file__).parent / "openapi"
LONGEST_S = 240
BODIES = (b"", b'{"a": 1}', b"gr\xc3\xbc\xc3\x9fe", bytes(range(256)), None)


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    viewer = Viewer(cluster, tmp_path_factory.mktemp("viewer"))
    ids = viewer.has(*(recorded(number) for number in range(200)))
    viewer.gate.write(*(line(number, unix_ms(id)) for number, id in enumerate(ids)))
    yield viewer
    viewer.close()


def recorded(number: int) -> dict[str, Any]:
    body = BODIES[number % len(BODIES)]
    return {
        "method": ("GET", "POST", "PROPFIND")[number % 3],
        "target": f"/{number % 7}/caf\xe9?a={number}",
        "headers": json.dumps([["Host", "h"], ["X-N\xfcmber", str(number)], ["x", "\x01\xff"]]),
        "replica": f"webapp-{number % 3}",
        "client": f"10.0.{number % 5}.1" if number % 2 else "2001:db8::1",
        "status": (200, 413)[body is None],
        "body": body,
        "body_size": None if body is None else len(body),
        "truncated": body is None,
    }


@pytest.fixture(scope="module")
def document(viewer: Viewer) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{viewer.url}/_/api/openapi.json").json()
    return found


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OPENAPI_31_VALIDATOR.validate(document)


def test_schemathesis_finds_nothing(viewer: Viewer, document: dict[str, Any], tmp_path: Path) -> None:
    """No answer breaks a promise of the document, neither to what it allows nor to what it forbids."""
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", PLACE / "schemathesis.toml"),
            *("run", "--no-color", f"{viewer.url}/_/api/openapi.json"),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(PLACE / "hooks.py")},
        cwd=tmp_path,  # it leaves what it has learned in the current folder
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(document['paths']) - 1}" in done.stdout and "API Links:" in done.stdout  # but for the stream


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    shown = {name: schema["examples"] for name, schema in schemas.items() if "examples" in schema}
    assert {"Whole", "Page", "Counts", "Neighbours", "Problem"} <= set(shown)
    for name, examples in shown.items():
        for example in examples:
            schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(example)


def test_every_command_line_can_be_pasted(viewer: Viewer, document: dict[str, Any]) -> None:
    commands = re.findall(r"`(curl [^`]+)`", json.dumps(document["paths"], ensure_ascii=False))
    assert len(commands) >= 5
    for command in commands:
        url = shlex.split(command)[-1].replace("http://localhost:8080", viewer.url)
        assert httpx.get(url).status_code in (200, 404), command  # 404: the id of an example


def test_every_parameter_is_explained(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        assert operations["get"]["description"], path
        for parameter in operations["get"].get("parameters", ()):
            assert parameter.get("description") or parameter["in"] == "path", (path, parameter["name"])


def test_what_can_be_counted_by_is_what_is_described(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/_/api/counts"]["get"]["parameters"]
    assert next(one["schema"]["enum"] for one in parameters if one["name"] == "by") == list(BY)
