"""The bill of materials: valid CycloneDX, complete, and the same for the same zip."""

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.tools.conftest import ROOT
from tools import sbom
from tools.target import VERSIONS, Target


@pytest.fixture(scope="session")
def text(universal_zip: Path) -> str:
    """The bill of the universal zip."""
    return sbom.beside(universal_zip).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def bill(text: str) -> dict[str, Any]:
    """The same, decoded."""
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def test_it_is_valid(text: str) -> None:
    """By CycloneDX's own schema, nothing unknown in it."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_invalid_one_would_be_noticed(text: str) -> None:
    """The validator looks."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"SHA-256"', '"SHA-265"')) is not None


def test_it_names_the_zip(bill: dict[str, Any], universal_zip: Path) -> None:
    """By its hash, and with what it was built for."""
    component = bill["metadata"]["component"]
    digest = hashlib.sha256(universal_zip.read_bytes()).hexdigest()
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [component["version"]] == re.findall(r'^version = "(.*)"$', pyproject, re.MULTILINE)
    properties = {row["name"]: row["value"] for row in component["properties"]}
    assert len(properties["tailrace:targets"].split()) == 2 * len(VERSIONS)


def test_every_package_and_wheel_is_in_it(bill: dict[str, Any]) -> None:
    """Versions as pinned, and every wheel's hash is one of those that were allowed."""
    requirements = (ROOT / "requirements-layer.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w-]+)==(\S+) ", requirements, re.MULTILINE))
    assert {row["name"]: row["version"] for row in bill["components"]} == pins
    wheels = [wheel for row in bill["components"] for wheel in row["components"]]
    assert len(wheels) == 3 * 10 + 2
    assert {wheel["hashes"][0]["content"] for wheel in wheels} == set(re.findall(r"sha256:(\w+)", requirements))


def test_every_purl_is_one_of_pypi(bill: dict[str, Any]) -> None:
    """As the specification writes it, so that a scanner finds it again."""
    for row in bill["components"]:
        purl = PackageURL.from_string(row["purl"])
        assert purl.to_string() == row["purl"] == row["bom-ref"]
        assert (purl.type, purl.name, purl.version) == ("pypi", row["name"], row["version"])


def test_every_licence_is_an_spdx_expression(bill: dict[str, Any]) -> None:
    """What a scanner can work with."""
    assert all(list(row["licenses"][0]) == ["expression"] for row in bill["components"])


def test_same_zip_has_the_same_bill(universal_zip: Path, tmp_path: Path) -> None:
    """No time, no machine, no chance."""
    for name in ("one", "two"):
        copy = tmp_path / f"{name}.zip"
        copy.write_bytes(universal_zip.read_bytes())
        sbom.write([], [Target((3, 11), "x86_64", None)], copy)
    assert sbom.beside(tmp_path / "one.zip").read_bytes() == sbom.beside(tmp_path / "two.zip").read_bytes()


def test_another_zip_has_another_serial_number(universal_zip: Path, tmp_path: Path) -> None:
    """CycloneDX wants it unique to what it tells of."""
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as packed:
        packed.writestr("x", "")
    assert sbom.bill([], [], other)["serialNumber"] != sbom.bill([], [], universal_zip)["serialNumber"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("MIT", {"expression": "MIT"}),
        ("MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0"}),
        ("Do as you like, please", {"license": {"name": "Do as you like, please"}}),
        ("", {"license": {"name": "unknown"}}),
    ],
)
def test_licence_field_is_taken_as_it_is(field: str, expected: dict[str, Any]) -> None:
    """An expression where it is one."""
    assert sbom.licences(field) == [expected]
