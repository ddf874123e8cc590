"""What the wheel needs, as a bill of materials: `make sbom` writes share/sbom/otaflux.cdx.json.

CycloneDX 1.6, made from requirements.lock: each package that OtaFlux runs with, in the release
that is tested and that the container image has, its licence, and what needs what. The wheel carries
it where PEP 770 has it, in `otaflux-….dist-info/sboms`. Hashes stand in requirements.lock.

A licence is what the installed package says; of one that this machine has no use for, such as what
only another Python needs, it is what stood there before.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lockfile import Pin, pins

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "share/sbom/otaflux.cdx.json"
LOCK = ROOT / "requirements.lock"

# What packages say that say it in no word of SPDX's list; read in their LICENSE.
SAID = {"Apache 2.0": "Apache-2.0"}
NOT_SAID = {"aiomqtt": "BSD-3-Clause"}


def purl(pin: Pin) -> str:
    """A release's address among the packages of all registries, in the form of package-url."""
    return f"pkg:pypi/{normal(pin.name)}@{pin.version}"


def normal(name: str) -> str:
    """A package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str, version: str) -> str | None:
    """What an installed package says of its licence; None where that release is not installed."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if about["Version"] != version:
        return None
    said: str | None = about.get("License-Expression") or about.get("License") or NOT_SAID.get(name)
    return SAID.get(said, said) if said else None


def component(each: Pin, kept: Mapping[str, str]) -> dict[str, Any]:
    """One package, as CycloneDX has it; `kept` are the licences that stood there, by address."""
    address = purl(each)
    said = licence(each.name, each.version) or kept.get(address)
    about: dict[str, Any] = {
        "type": "library",
        "bom-ref": address,
        "name": each.name,
        "version": each.version,
        "licenses": [{"expression": said}] if said else [],
        "purl": address,
    }
    if each.marker:
        about["properties"] = [{"name": "otaflux:where", "value": each.marker}]
    return about


def bill(kept: Mapping[str, str]) -> dict[str, Any]:
    """The whole of it, the same each time for the same lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    own = f"pkg:pypi/{name}@{version}"
    packages = list(pins(LOCK.read_text()))
    addresses = {normal(each.name): purl(each) for each in packages} | {name: own}
    needs: dict[str, list[str]] = {address: [] for address in addresses.values()}
    for each in packages:
        for who in each.wanted_by:
            needs[addresses[normal(who)]].append(purl(each))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"expression": project["license"]}],
                "purl": own,
            }
        },
        "components": [component(each, kept) for each in packages],
        "dependencies": [
            {"ref": address, "dependsOn": sorted(needs[address])} for address in sorted(needs)
        ],
    }


def licences(bom: Mapping[str, Any]) -> dict[str, str]:
    """The licences that a bill names, by the addresses of packages."""
    return {
        each["purl"]: said["expression"]
        for each in bom.get("components", ())
        for said in each["licenses"]
    }


def written(bom: Mapping[str, Any]) -> str:
    """As the file has it."""
    return json.dumps(bom, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write it; returns 1 where a package's licence is not known."""
    kept = licences(json.loads(SBOM.read_text())) if SBOM.exists() else {}
    bom = bill(kept)
    SBOM.parent.mkdir(parents=True, exist_ok=True)
    SBOM.write_text(written(bom))
    silent = [each["purl"] for each in bom["components"] if not each["licenses"]]
    for each in silent:
        print(f"sbom: {each} says no licence: see NOT_SAID in setup/sbom.py", file=sys.stderr)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
