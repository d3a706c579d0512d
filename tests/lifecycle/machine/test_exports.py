"""OTLP requests of the function's: what a hold waits for, and what they do not tell about the platform."""

import pytest

from lifecycle.machine.commands import COLLECTOR, SHIPPER, Ping
from lifecycle.machine.events import (
    BatchStored,
    ExportsSettled,
    ExportStored,
    OffsetCommitted,
    ShutdownRequested,
    WorkerExited,
    WorkerReady,
)
from lifecycle.machine.machine import Machine, State
from tests.lifecycle.machine.conversation import invoke, machine, pass_time, reasons_to_fetch, ships, stored


def finished(end: int, *, begun: int = 0) -> BatchStored:
    """The batch with the end of r1, while so many requests are under way."""
    return BatchStored(end - 100, end, ("r1",), begun=begun)


def test_export_under_way_at_the_end_is_waited_for_and_shipped() -> None:
    """It was begun before the function returned, so it belongs to what the invocation is held for."""
    subject = machine()
    invoke(subject, 1.0)
    assert ships(subject.handle(finished(100, begun=1), 1.1)) == [(0, 100, "invocation_finished")]
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.12)) == []
    assert ships(subject.handle(ExportStored(100, 300), 1.13)) == [(100, 300, "invocation_finished")]
    assert reasons_to_fetch(subject.handle(ExportsSettled(300), 1.13)) == []
    assert reasons_to_fetch(subject.handle(OffsetCommitted(300), 1.14)) == ["delivered"]


def test_export_that_is_cut_off_is_waited_for_no_longer() -> None:
    """Nothing of it was stored, and all else is delivered."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(finished(100, begun=2), 1.1)
    subject.handle(OffsetCommitted(100), 1.12)
    assert reasons_to_fetch(subject.handle(ExportsSettled(0), 1.2)) == ["delivered"]


def test_export_that_does_not_end_holds_no_longer_than_the_budget() -> None:
    """Whoever sends it may have been stopped in the middle."""
    subject = machine(budget_s=0.5)
    invoke(subject, 1.0)
    subject.handle(finished(100, begun=1), 2.0)
    subject.handle(OffsetCommitted(100), 2.01)
    assert reasons_to_fetch(pass_time(subject, 2.4)) == []
    assert reasons_to_fetch(pass_time(subject, 2.5)) == ["budget_spent"]


def test_what_is_stored_may_be_heard_late_only_while_a_function_runs() -> None:
    """What is told of its end, and at shutdown, somebody waits for."""
    subject = machine()
    assert subject.may_hear_late  # an init runs
    invoke(subject, 1.0)
    assert subject.may_hear_late
    subject.handle(finished(100), 1.1)
    assert not subject.may_hear_late
    subject.handle(OffsetCommitted(100), 1.2)
    invoke(subject, 2.0, "r2")
    assert subject.may_hear_late
    subject.handle(ShutdownRequested("spindown", 5.0), 3.0)
    assert not subject.may_hear_late


def test_export_that_begins_after_the_end_extends_no_hold() -> None:
    """It is stored, and leaves with the next shipment."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(finished(100), 1.1)
    assert subject.handle(ExportStored(100, 300), 1.11) == []
    assert reasons_to_fetch(subject.handle(OffsetCommitted(100), 1.12)) == ["delivered"]
    assert subject.state is State.WAITING
    assert subject.routes[0].shipments.waiting_bytes == 200
    invoke(subject, 2.0, "r2")
    (ship,) = ships(subject.handle(BatchStored(300, 400, ("r2",)), 2.1))
    assert ship[:2] == (100, 400)


def test_export_of_an_invocation_whose_end_was_read_before_its_beginning_is_waited_for_as_long_as_it_lasts() -> None:
    """A short invocation's runtimeDone may be read first, and its exports may be over by then."""
    for is_over in (False, True):
        subject = machine()
        subject.handle(finished(100, begun=1), 1.0)
        if is_over:
            subject.handle(ExportStored(100, 300), 1.0)
            subject.handle(ExportsSettled(300), 1.0)
        invoke(subject, 1.01)
        assert subject.state is State.HOLDING
        fetched = reasons_to_fetch(subject.handle(OffsetCommitted(300 if is_over else 100), 1.03))
        assert fetched == (["delivered"] if is_over else [])


def test_death_of_the_collector_ends_the_wait_for_exports() -> None:
    """Its connections died with it: who sent them sends them again, to its successor."""
    subject = machine()
    for worker in (COLLECTOR, SHIPPER):
        subject.handle(WorkerReady(worker), 0.5)
    invoke(subject, 1.0)
    subject.handle(finished(100, begun=1), 1.1)
    subject.handle(OffsetCommitted(100), 1.12)
    assert reasons_to_fetch(subject.handle(WorkerExited(COLLECTOR), 1.13)) == ["delivered"]


def silent_collector() -> Machine:
    subject = machine()
    subject.handle(WorkerReady(COLLECTOR), 0.5)
    invoke(subject, 1.0)
    return subject


@pytest.mark.parametrize(("event", "is_asked"), [(stored(100), False), (ExportStored(0, 100), True)])
def test_export_does_not_say_that_the_platform_is_heard(event: BatchStored | ExportStored, *, is_asked: bool) -> None:
    """The invocation's beginning has not been stored in time: whether the collector is there is asked all the same."""
    subject = silent_collector()
    subject.handle(event, 1.01)
    assert (Ping(COLLECTOR) in pass_time(subject, 1.1)) is is_asked


def test_exports_do_not_prolong_the_wait_for_the_platform_at_shutdown() -> None:
    """Telemetry that has not come for 300 ms does not come any more, whatever the function's SDK still sends."""
    subject = machine()
    subject.handle(ShutdownRequested("spindown", 4.0), 2.0)
    subject.handle(ExportStored(0, 100), 2.25)
    pass_time(subject, 2.29)
    states = [subject.state]
    pass_time(subject, 2.31)
    assert [*states, subject.state] == [State.DRAINING, State.CLOSING]


def test_last_flush_of_a_runtime_is_in_the_last_shipment() -> None:
    """The runtime's SIGTERM sends it before SHUTDOWN reaches us, while nothing runs and nothing is shipped."""
    subject = machine()
    invoke(subject, 1.0)
    subject.handle(finished(100), 1.1)
    subject.handle(OffsetCommitted(100), 1.12)
    assert subject.handle(ExportStored(100, 300), 60.0) == []
    subject.handle(ShutdownRequested("spindown", 62.0), 60.01)
    assert (100, 300, "shutdown") in ships(pass_time(subject, 60.5))
