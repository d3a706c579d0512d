"""Which invocations are shipped: a share, and every one that failed, which is looked for ahead."""

import uuid

import pytest

from shipper.model.context import NOTHING, Context, Invocation, Past
from shipper.model.events import events
from shipper.rules.sampling import Sample
from tests.shipper.story import R1, R2, done, init, line, report, start
from tests.shipper.support import backlog_of


def looked(*story: object, context: Context = NOTHING, is_final: bool = False, is_report: bool = False) -> Sample:
    """A sample of none, after a look at some events."""
    sample = Sample(0.0)
    backlog, end = backlog_of(story)
    found = (one for frame in backlog.frames(0, end) for one in events(frame))
    sample.look_ahead(found, context, is_final=is_final, is_report=is_report)
    return sample


def test_share_is_drawn_evenly_and_always_alike() -> None:
    """By the request id alone; what belongs to no invocation is always taken."""
    ids = [str(uuid.UUID(int=number)) for number in range(2000)]
    tenth, half = Sample(0.1), Sample(0.5)
    drawn = {one for one in ids if tenth.takes(one)}
    assert len(drawn) == pytest.approx(200, rel=0.3)
    assert drawn == {one for one in ids if Sample(0.1).takes(one)}
    assert drawn <= {one for one in ids if half.takes(one)}
    assert Sample(0.0).takes("")
    assert not any(Sample(0.0).takes(one) for one in ids)


def test_an_end_tells_how_it_went() -> None:
    """What is not there yet cannot be told."""
    assert looked(start(0), line(1)).verdict(R1) is None
    assert looked(start(0), line(1), done(2), report(3)).verdict(R1) is False
    failed = looked(start(0), line(1), done(2, status="error", errorType="Runtime.ExitError"))
    assert failed.verdict(R1) is True


def test_the_next_start_is_an_end_of_the_one_before() -> None:
    """One runs at a time, whether its end was told or not; on Managed Instances many do."""
    assert looked(start(0), line(1), start(2, R2)).verdict(R1) is False
    assert looked(start(0), line(1), start(2, R2), is_report=True).verdict(R1) is None


def test_what_is_over_already_is_told_by_the_context() -> None:
    """But not where it is tried again, or runs again already."""
    over = Context(recent=(Past(R1),))
    assert looked(start(20, R2), line(21), context=over).verdict(R1) is False
    assert looked(line(19), start(20), line(21), context=over).verdict(R1) is None
    again = Context(request_id=R1, open=(Invocation(request_id=R1),), recent=(Past(R1),))
    assert looked(line(21), context=again).verdict(R1) is None


def test_what_runs_already_is_over_with_the_next_start() -> None:
    """Where one runs at a time."""
    running = Context(request_id=R1, open=(Invocation(request_id=R1),))
    assert looked(line(1), start(20, R2), context=running).verdict(R1) is False
    assert looked(line(1), start(20, R2), context=running, is_report=True).verdict(R1) is None


def test_a_failure_in_a_line_counts_at_once() -> None:
    """A function that catches its exception and logs it has failed all the same."""
    said = '[ERROR] ValueError: no\nTraceback (most recent call last):\n  File "/var/task/a.py", line 1, in f\n'
    assert looked(*init(-200), start(0), line(1, said)).verdict(R1) is True
    assert looked(*init(-200), start(0), line(1, "no ValueError\n")).verdict(R1) is None
    # Where many run at a time it is nobody's, unless it names one.
    assert looked(*init(-200), start(0), line(1, said), is_report=True).verdict(R1) is None


def test_what_can_be_waited_for_no_longer_is_shipped() -> None:
    """Rather a line too many than the lines of a failure lost."""
    assert looked(start(0), line(1), is_final=True).verdict(R1) is True
