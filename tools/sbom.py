"""The bill of materials beside a zip: CycloneDX 1.6, the same bytes for the same zip.

It names no time and no machine: its serial number follows from the zip's own hash.
"""

import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from tools.target import Target, dotted

SUFFIX = ".cdx.json"
SPECIFICATION = "1.6"

# For serial numbers, uuid5's namespace: any fixed one will do.
NAMESPACE = uuid.UUID("6f0d9c1e-5d2b-5c38-9c3f-0d6a5f2f7f11")

OWN_LICENCE = "Apache-2.0"


def beside(output: Path) -> Path:
    """Where the bill of materials of a zip lies."""
    return output.with_suffix(SUFFIX)


def write(packed: Iterable[Path], targets: Iterable[Target], output: Path, *, bundled: str = "") -> None:
    """Writes the bill of materials of a zip that is complete.

    Args:
        packed: The wheels that went into it.
        targets: What it was built for.
        output: The zip.
        bundled: Version of the CPython it brings; "" for none.
    """
    partial = beside(output).with_suffix(".partial")
    partial.write_text(json.dumps(bill(packed, targets, output, bundled), indent=2) + "\n", encoding="utf-8")
    partial.replace(beside(output))


def bill(packed: Iterable[Path], targets: Iterable[Target], output: Path, bundled: str = "") -> dict[str, Any]:
    """The bill of materials as data."""
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    version = own_version(output)
    reference = f"pkg:generic/tailrace@{version}"
    libraries = components(packed)
    if bundled:
        libraries.insert(0, interpreter(bundled))
    targets = tuple(targets)
    bytecode = sorted({target.version for target in targets if target.interpreter})
    properties = {
        "tailrace:targets": " ".join(target.name for target in targets),
        "tailrace:bytecode": " ".join(map(dotted, bytecode)),
    }
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": "tailrace",
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": [{"license": {"id": OWN_LICENCE}}],
                "properties": [{"name": name, "value": value} for name, value in properties.items()],
            }
        },
        "components": libraries,
        "dependencies": [
            {"ref": reference, "dependsOn": [library["bom-ref"] for library in libraries]},
            *({"ref": library["bom-ref"]} for library in libraries),
        ],
    }


def own_version(output: Path) -> str:
    """The version that the packed shipper says it is of; 0 if it says none."""
    with zipfile.ZipFile(output) as packed:
        name = "tailrace/shipper/model/resource.py"
        text = packed.read(name).decode() if name in packed.namelist() else ""
    found = re.search(r'^VERSION = "([^"]+)"', text, re.MULTILINE)
    return found[1] if found else "0"


def components(packed: Iterable[Path]) -> list[dict[str, Any]]:
    """One component a package, with each wheel it came in by name and hash."""
    found: dict[str, dict[str, Any]] = {}
    for wheel in sorted(packed, key=lambda path: path.name):
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(name).decode())
        package, version = metadata["Name"], metadata["Version"]
        reference = f"pkg:pypi/{package.lower().replace('_', '-')}@{version}"
        component = found.setdefault(
            reference,
            {
                "type": "library",
                "bom-ref": reference,
                "name": package,
                "version": version,
                "purl": reference,
                "licenses": licences(metadata["License-Expression"] or metadata["License"] or ""),
                "components": [],
            },
        )
        component["components"].append(
            {
                "type": "file",
                "bom-ref": f"{reference}#{wheel.name}",
                "name": wheel.name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
            }
        )
    return [found[reference] for reference in sorted(found)]


def interpreter(version: str) -> dict[str, Any]:
    """CPython as a component."""
    reference = f"pkg:generic/cpython@{version}"
    named = [{"license": {"id": "Python-2.0.1"}}]
    return {
        "type": "platform",
        "bom-ref": reference,
        "name": "CPython",
        "version": version,
        "purl": reference,
        "licenses": named,
    }


def licences(text: str) -> list[dict[str, Any]]:
    """A wheel's licence field as CycloneDX has it: an SPDX expression, or the first line of what stands there."""
    line = (text.strip().splitlines() or ["unknown"])[0]
    if re.fullmatch(r"[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*", line) and line != "unknown":
        return [{"expression": line}]
    return [{"license": {"name": line}}]
