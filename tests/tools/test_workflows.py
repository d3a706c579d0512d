"""GitHub's workflows: every command is a make target, every action is pinned, and no job may do more than it must.

That GitHub takes the files is shown by actionlint and by GitHub's schema (tests/examples/test_synth.py).
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools.conftest import ROOT
from tests.tools.test_makefile import made
from tools.target import VERSIONS, dotted

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

# Before a checkout there is no make target.
INSTALLING = re.compile(r"apt-get update && apt-get install --yes --no-install-recommends [a-z0-9 -]+")

ROOTED = re.compile(r'sudo (--preserve-env=\w+ )?env ("\w+=\$\w+" )+')

# Which jobs may write what: provenance, a role in AWS, the release itself.
WRITES = {
    ("release", "build"): {"id-token", "attestations"},
    ("release", "layers"): {"id-token"},
    ("release", "publish"): {"contents"},
}


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """A workflow's jobs by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of all jobs."""
    return [step for job in jobs(path).values() for step in job.get("steps", [])]


def test_there_is_one_for_changes_and_one_for_releases() -> None:
    """And none that nothing checks."""
    assert [path.stem for path in WORKFLOWS] == ["release", "test"]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Path:
    """Each of them."""
    path: Path = request.param
    return path


def test_every_command_is_a_target_with_variables_that_it_has(workflow: Path) -> None:
    """What could not be tried on GitHub can be tried here, word for word."""
    targets = {line.split()[0] for line in made("help").stdout.splitlines()}
    variables = set(re.findall(r"^(\w+) \?=", (ROOT / "layer.mk").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    for command in commands:
        if INSTALLING.fullmatch(command):
            continue
        program, target, *words = shlex.split(ROOTED.sub("", command))
        assert program == "make"
        assert target in targets
        assert {word.partition("=")[0] for word in words} <= variables


def test_every_action_is_pinned_by_its_commit_and_says_its_version(workflow: Path) -> None:
    """A tag can be moved by whoever takes over the action."""
    lines = [line for line in workflow.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    for line in lines:
        assert re.search(r"uses: ([\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/\w+\.yml)$", line), line
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_no_job_may_write_but_what_it_is_for(workflow: Path) -> None:
    """Tests and builds run what PyPI and npm bring."""
    whole = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert whole["permissions"] == {"contents": "read"}
    for name, job in jobs(workflow).items():
        writes = {scope for scope, access in job.get("permissions", {}).items() if access == "write"}
        assert writes == WRITES.get((workflow.stem, name), set())


def test_tests_run_on_every_python() -> None:
    """And in each run the layer has the bytecode of all."""
    job = jobs(ROOT / ".github/workflows/test.yml")["test"]
    names = [dotted(version) for version in VERSIONS]
    assert job["strategy"]["matrix"]["python"] == names
    (setup,) = [step for step in job["steps"] if "setup-python@" in step.get("uses", "")]
    assert setup["with"]["python-version"].split()[: len(names)] == names


def test_release_is_built_where_every_python_is_and_only_after_the_tests() -> None:
    """`make release` insists on all bytecode; provenance covers every file by its checksum."""
    release = jobs(ROOT / ".github/workflows/release.yml")
    assert release["test"]["uses"] == "./.github/workflows/test.yml"
    assert release["build"]["needs"] == "test"
    (setup,) = [step for step in release["build"]["steps"] if "setup-python@" in step.get("uses", "")]
    assert sorted(setup["with"]["python-version"].split()) == sorted(dotted(version) for version in VERSIONS)
    (attest,) = [step for step in release["build"]["steps"] if "attest-build-provenance@" in step.get("uses", "")]
    assert attest["with"] == {"subject-checksums": "build/release/SHA256SUMS"}


def test_layers_are_published_only_where_a_role_is_configured() -> None:
    """A fork releases without an account, and its release has no table."""
    release = jobs(ROOT / ".github/workflows/release.yml")
    assert release["layers"]["if"] == "vars.LAYER_ROLE_ARN != ''"
    assert release["publish"]["needs"] == ["build", "layers"]
    assert "needs.layers.result != 'failure'" in release["publish"]["if"]
