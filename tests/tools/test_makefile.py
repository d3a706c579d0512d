"""What everybody types first: `make` alone knows every target, and there is one definition of them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.tools.conftest import ROOT


def made(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Runs make without what the make that runs this test was told."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=environ, check=False, capture_output=True, text=True, timeout=60
    )


def test_make_alone_lists_the_targets() -> None:
    """As with the file named, and each has its line."""
    plain, named = made(), made("-f", "layer.mk", "help")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout == named.stdout
    targets = [line.split()[0] for line in plain.stdout.splitlines()]
    assert {"help", "layer", "publish", "demo", "test"} <= set(targets)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_makes_the_same_as_with_the_file_named(target: str) -> None:
    """Makefile defines nothing of its own."""
    plain, named = made("--dry-run", target), made("--dry-run", "-f", "layer.mk", target)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout == named.stdout


def test_readmes_commands_are_targets_and_ci_runs_its_test() -> None:
    """What README tells people to type works, and is what CI runs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^make ([\w-]+)  ", readme, re.MULTILINE)
    assert commands[:2] == ["demo", "test"]
    targets = {line.split()[0] for line in made("help").stdout.splitlines()}
    assert set(commands) <= targets
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


def test_elsewhere_it_says_where_to_run_it(tmp_path: Path) -> None:
    """Paths in it are relative to the checkout."""
    done = made("-f", str(ROOT / "layer.mk"), "help", cwd=tmp_path)
    assert done.returncode != 0
    assert "make -C DIRECTORY TARGET" in done.stderr
