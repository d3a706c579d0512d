"""What holds for every test.

With REQUIRE_EVERY_TEST=1, which CI sets, a test that is skipped has failed: there, AWS's emulator,
namespaces and whatever else a test needs must be present. Only a test marked `optional` may be skipped.

What a machine may lack is asked before the test begins: it is then skipped for that, and does not fail for something
else.
"""

import os
import resource
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

REQUIRES_EVERY_TEST = os.environ.get("REQUIRE_EVERY_TEST") == "1"

# How long an example takes is no promise of anybody's, and on a busy machine it is long. In CI the same ones are drawn
# each time: what is found there is of the change that is tested.
settings.register_profile(
    "patient",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    **({"derandomize": True, "database": None} if REQUIRES_EVERY_TEST else {}),
)
settings.load_profile("patient")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test fails where every test is required."""
    report = yield
    if hasattr(report, "wasxfail") or item.get_closest_marker("optional"):
        return report
    return failed_if_skipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So does a module that skips itself while it is collected."""
    return failed_if_skipped((yield))


def failed_if_skipped(report: Report) -> Report:
    """The report, turned into a failure that says why where it was a skip and skips are not allowed."""
    if REQUIRES_EVERY_TEST and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nREQUIRE_EVERY_TEST=1: every test must run."
    return report


@pytest.fixture(autouse=True)
def _descriptors(request: pytest.FixtureRequest) -> Iterator[None]:
    """As many as a test is marked with may be open while it runs, and no more than before afterwards."""
    marker = request.node.get_closest_marker("descriptors")
    if marker is None:
        yield
        return
    (count,) = marker.args
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < count:
        pytest.skip(f"needs {count:,} descriptors, and no more than {hard:,} are allowed here (ulimit -Hn)")
    if resource.RLIM_INFINITY != soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
