"""`.ci/run` and the rule that in CI every test runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.conftest import ROOT

RESULTS = '<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" {} time="1">'

TESTS = '''\
"""One that passes, one that skips, one that fails as expected, one that may skip."""

import pytest


def test_passes():
    pass


def test_skips():
    pytest.skip("no namespaces here")


@pytest.mark.xfail
def test_fails_as_expected():
    assert False


@pytest.mark.optional
@pytest.mark.skipif(True, reason="no other Python")
def test_may_skip():
    pass
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose `make` does as the test says, in a script of its own."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "bin").mkdir()
    return tmp_path


def ci_run(checkout: Path, make: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs `.ci/run` from another directory, with `make` replaced by a script."""
    fake = checkout / "bin" / "make"
    fake.write_text(f"#!/bin/sh\nmkdir -p build\necho make $*\n{make}\n", encoding="utf-8")
    fake.chmod(0o755)
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [checkout / ".ci" / "run"],
        cwd="/",
        env={"PATH": path, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def leaving(counts: str) -> str:
    """A `make` that ends well and leaves results with these counts."""
    return f"echo '{RESULTS.format(counts)}' >build/tests.xml"


class TestRun:
    """`.ci/run` calls `make test` and looks at what ran."""

    def test_passes_when_tests_ran(self, checkout: Path) -> None:
        """Pythons before the layer, which is compiled by them, and all before the tests; output passes through."""
        done = ci_run(checkout, leaving('failures="0" skipped="1" tests="5"'))
        made = done.stdout.splitlines()
        assert (done.returncode, done.stderr) == (0, "")
        assert (made[0], made[-1]) == ("make venv", "make test")
        assert sorted(made[1:-1]) == ["make layer", "make lint real", "make pythons"]
        assert made.index("make pythons") < made.index("make layer")

    def test_fails_as_what_is_made_beside_fails(self, checkout: Path) -> None:
        """Types that are wrong are no less so for having been checked beside something else."""
        done = ci_run(checkout, leaving('skipped="0" tests="5"') + '\n[ "$1" != lint ] || exit 2')
        assert done.returncode == 2
        assert "make test" not in done.stdout.splitlines()

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (leaving('failures="0" skipped="0" tests="0"'), "no test ran (0 collected, 0 skipped)"),
            (leaving('failures="0" skipped="3" tests="3"'), "no test ran (3 collected, 3 skipped)"),
            (leaving('failures="0"'), "no test ran (0 collected, 0 skipped)"),
            ("echo nonsense >build/tests.xml", "pytest left no results in build/tests.xml"),
            (":", "pytest left no results in build/tests.xml"),
        ],
        ids=["none collected", "all skipped", "no counts", "no XML", "no results"],
    )
    def test_fails_when_no_test_ran(self, checkout: Path, make: str, said: str) -> None:
        """Green means that something was tested."""
        done = ci_run(checkout, make)
        assert done.returncode == 1
        assert done.stderr == f".ci/run: {said}\n"

    def test_results_of_an_earlier_run_do_not_count(self, checkout: Path) -> None:
        """They are removed before."""
        ci_run(checkout, leaving('skipped="0" tests="5"'))
        assert ci_run(checkout, ":").returncode == 1

    def test_fails_as_make_fails(self, checkout: Path) -> None:
        """Whatever the results say."""
        assert ci_run(checkout, leaving('skipped="0" tests="5"') + "\nexit 2").returncode == 2

    @pytest.mark.parametrize(("environment", "said"), [({"CI": "true"}, "1"), ({"CI": "false"}, ""), ({}, "")])
    def test_every_test_is_required_in_ci(self, checkout: Path, environment: dict[str, str], said: str) -> None:
        """On a developer's machine what cannot run is skipped."""
        done = ci_run(checkout, 'echo "[$REQUIRE_EVERY_TEST]"', **environment)
        assert f"[{said}]" in done.stdout.splitlines()


CROWD = """\
import resource
import pytest


@pytest.mark.descriptors(300)
def test_crowd():
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300


def test_after_it():
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200
"""


class TestDescriptors:
    """What becomes of a test that needs many."""

    def run_pytest(self, directory: Path, hard: int, required: str = "") -> str:
        """Runs the tests above where 200 may be open, and `hard` at most; what pytest says."""
        shutil.copy(ROOT / "tests" / "conftest.py", directory)
        (directory / "pytest.ini").write_text("[pytest]\nmarkers = descriptors\n", encoding="utf-8")
        (directory / "test_crowd.py").write_text(CROWD, encoding="utf-8")
        done = subprocess.run(
            ["prlimit", f"--nofile=200:{hard}", sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra"],
            cwd=directory,
            env={**os.environ, "REQUIRE_EVERY_TEST": required},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def test_the_limit_is_raised_for_it_alone(self, tmp_path: Path) -> None:
        """As far as the machine allows."""
        assert "2 passed" in self.run_pytest(tmp_path, 400)

    def test_it_is_skipped_where_so_many_are_not_allowed(self, tmp_path: Path) -> None:
        """With the reason, and how to see the limit."""
        said = self.run_pytest(tmp_path, 250)
        assert "1 passed, 1 skipped" in said
        assert "needs 300 descriptors, and no more than 250 are allowed here (ulimit -Hn)" in said

    def test_it_fails_where_every_test_is_required(self, tmp_path: Path) -> None:
        """For the same reason."""
        said = self.run_pytest(tmp_path, 250, required="1")
        assert "1 passed, 1 error" in said
        assert "needs 300 descriptors" in said


class TestSkips:
    """What REQUIRE_EVERY_TEST=1 does to tests that skip."""

    def run_pytest(self, directory: Path, required: str) -> dict[str, int]:
        """Runs the tests above and a module that skips itself.

        Returns:
            The counts in pytest's closing line.
        """
        shutil.copy(ROOT / "tests" / "conftest.py", directory)
        (directory / "pytest.ini").write_text("[pytest]\nmarkers = optional\n", encoding="utf-8")
        (directory / "test_some.py").write_text(TESTS, encoding="utf-8")
        (directory / "test_module.py").write_text(
            'import pytest\npytest.skip("no emulator", allow_module_level=True)\n', encoding="utf-8"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
            cwd=directory,
            env={**os.environ, "REQUIRE_EVERY_TEST": required},
            check=False,
            capture_output=True,
            text=True,
        )
        words = done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0].split(", ")
        return {name: int(count) for count, name in (word.split() for word in words)}

    def test_skips_are_skips_where_they_are_allowed(self, tmp_path: Path) -> None:
        """As without the rule."""
        assert self.run_pytest(tmp_path, "") == {"passed": 1, "skipped": 3, "xfailed": 1}

    def test_skips_are_failures_where_every_test_is_required(self, tmp_path: Path) -> None:
        """But for tests marked `optional`; a module that skips itself is an error."""
        counts = {"failed": 1, "passed": 1, "skipped": 1, "xfailed": 1, "error": 1}
        assert self.run_pytest(tmp_path, "1") == counts
