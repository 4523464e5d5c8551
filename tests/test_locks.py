"""What is shipped is what the locks say, and the bill of materials says the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent.parent / "locks"


def test_the_bill_of_materials_is_the_images_lock() -> None:
    bill = json.loads((LOCKS / "image.cdx.json").read_text())
    locked = re.findall(r"^([a-z0-9._-]+)==(\S+)", (LOCKS / "image.txt").read_text(), re.MULTILINE)
    assert sorted((one["name"], one["version"]) for one in bill["components"]) == sorted(locked)
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", (LOCKS / "image.txt").read_text()))
    assert {one["value"] for component in bill["components"] for one in component["properties"]} == hashes


def test_the_bill_of_materials_is_made_by_its_command() -> None:
    made = subprocess.run([sys.executable, LOCKS / "sbom"], capture_output=True, text=True, check=True, timeout=120)
    now, kept = json.loads(made.stdout), json.loads((LOCKS / "image.cdx.json").read_text())
    assert now["components"] == kept["components"] and now["dependencies"] == kept["dependencies"]


def test_every_locked_package_has_its_hashes() -> None:
    for lock in ("run.txt", "image.txt", "test.txt", "bench.txt"):
        for block in re.split(r"\n(?=\S)", (LOCKS / lock).read_text()):
            if re.match(r"[a-z0-9]", block):
                assert "==" in block and "--hash=sha256:" in block, block
