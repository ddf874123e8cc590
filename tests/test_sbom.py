"""The bill of materials in the wheel: what the lock says, in a form that others read."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

ROOT = Path(__file__).resolve().parent.parent
MADE = runpy.run_path(str(ROOT / "setup/sbom.py"))
TEXT = MADE["SBOM"].read_text()
BOM: dict[str, Any] = json.loads(TEXT)

# Licences that ask for no more than to be named: whoever ships the image owes nobody its source.
FREE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"}


def test_it_is_that_of_the_lock() -> None:
    """As `make sbom` makes it; of what is not installed here the licence stands as it stood."""
    kept = MADE["licences"](BOM)
    assert MADE["written"](MADE["bill"](kept)) == TEXT, "run `make sbom`"


def test_others_can_read_it() -> None:
    """CycloneDX's own schema takes it, strictly."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(TEXT) is None
    broken = TEXT.replace('"type": "library"', '"type": "book"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_everything_that_is_locked_is_in_it_and_wanted_by_somebody() -> None:
    """Each package of the lock once, and a way to each from OtaFlux."""
    lock = (ROOT / "requirements.lock").read_text()
    named = re.findall(r"^([\w.-]+)==([^ \\]+)", lock, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in BOM["components"]] == named
    needs = {each["ref"]: each["dependsOn"] for each in BOM["dependencies"]}
    reached, left = set(), [BOM["metadata"]["component"]["bom-ref"]]
    while left:
        address = left.pop()
        if address not in reached:
            reached.add(address)
            left += needs[address]
    assert reached == {*needs}
    assert len(reached) == len(named) + 1


def test_every_licence_is_known_and_free() -> None:
    """An expression of SPDX's words, one side of which asks for no more than its name."""
    words = get_spdx_licensing()
    for each in BOM["components"]:
        (said,) = each["licenses"]
        parsed = words.parse(said["expression"], validate=True)
        assert words.validate(said["expression"]).errors == [], each["name"]
        alternatives = parsed.args if "OR" in said["expression"] else (parsed,)
        assert any(
            words.license_keys(side) and {*words.license_keys(side)} <= FREE
            for side in alternatives
        ), each["name"]
