"""What holds for every test.

With REQUIRE_EVERY_TEST=1, which CI sets, a test that is skipped has failed: there, AWS's emulator,
namespaces and whatever else a test needs must be present. Only a test marked `optional` may be skipped.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

REQUIRES_EVERY_TEST = os.environ.get("REQUIRE_EVERY_TEST") == "1"

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
