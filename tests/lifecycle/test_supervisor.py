"""What arrives, as events for the machine: answers to /next, read leniently, and reports."""

import time

import msgspec
import pytest

from lifecycle.contract.log import Log
from lifecycle.contract.wire import Stored
from lifecycle.extensions_api import Answer
from lifecycle.machine.events import (
    BatchStored,
    ExportsSettled,
    ExportStored,
    Invoked,
    NextFailed,
    ShutdownRequested,
    UnknownEventReceived,
)
from lifecycle.supervisor import NextReader, event_of, together


def reader() -> tuple[NextReader, list[bytes]]:
    lines: list[bytes] = []
    return NextReader(Log("lifecycle", "warning", (), lines.append)), lines


def answer(body: str, status: int = 200) -> Answer:
    return Answer(status, {}, body.encode(), keeps=True)


def test_invoke_names_its_request_and_its_deadline() -> None:
    """Whatever else the platform adds."""
    in_three_s = int(time.time() * 1000) + 3000
    body = f'{{"eventType":"INVOKE","deadlineMs":{in_three_s},"requestId":"r1","tracing":7,"new":{{}}}}'
    event = reader()[0].event(answer(body))
    assert isinstance(event, Invoked)
    assert event.request_id == "r1"
    assert event.deadline - time.monotonic() == pytest.approx(3.0, abs=0.8)


@pytest.mark.parametrize("reason", ["spindown", "TIMEOUT", "Failure"])
def test_shutdown_reason_is_read_in_any_case(reason: str) -> None:
    """Documentation prints upper case, Lambda sends lower, the emulator something else."""
    body = f'{{"eventType":"SHUTDOWN","deadlineMs":0,"shutdownReason":"{reason}"}}'
    event = reader()[0].event(answer(body))
    assert isinstance(event, ShutdownRequested)
    assert event.reason == reason.lower()


@pytest.mark.parametrize(
    "body",
    [
        '{"eventType":"SHUTDOWN","deadlineMs":"soon","shutdownReason":null}',
        '{"eventType":"SHUTDOWN","deadlineMs":null,"requestId":7,"shutdownReason":[]}',
        '{"eventType":"SHUTDOWN","deadlineMs":true}',
    ],
)
def test_shutdown_is_one_whatever_is_odd_about_it(body: str) -> None:
    """To ask on would be to be killed, with all that waits."""
    subject, lines = reader()
    event = subject.event(answer(body))
    assert isinstance(event, ShutdownRequested)
    assert event.deadline - time.monotonic() == pytest.approx(2.0, abs=0.8)
    assert lines == []


def test_invoke_with_odd_members_is_one_that_lacks_them() -> None:
    """It is held like any other, as far as is known."""
    event = reader()[0].event(answer('{"eventType":"INVOKE","deadlineMs":"soon","requestId":null}'))
    assert isinstance(event, Invoked)
    assert event.request_id == ""


@pytest.mark.parametrize("body", ["", "[]", '{"eventType":"WARP"}', '{"eventType":7}', "\xff"])
def test_what_is_no_known_event_is_said_and_asked_past(body: str) -> None:
    """The machine asks for the next one."""
    subject, lines = reader()
    assert subject.event(answer(body)) == UnknownEventReceived()
    assert len(lines) == 1


def test_refusal_is_said_once_until_one_is_answered() -> None:
    """It is asked again and again; the log is not to fill with it."""
    subject, lines = reader()
    for _ in range(5):
        assert subject.event(answer("{}", 500)) == NextFailed(500)
    assert len(lines) == 1
    subject.event(answer('{"eventType":"INVOKE"}'))
    subject.event(answer("{}", 403))
    assert len(lines) == 2


def test_what_the_platform_gave_up_is_said() -> None:
    """Records and bytes, as platform.logsDropped has them; nothing is said where nothing was lost."""
    lines: list[bytes] = []
    log = Log("lifecycle", "warning", (), lines.append)
    stored = Stored(start=0, end=9, events=1, body_bytes=9, digest=bytes(8))
    assert isinstance(event_of(stored, "collector", log), BatchStored)
    assert lines == []
    event_of(msgspec.structs.replace(stored, lost_events=2, lost_bytes=99), "collector", log)
    (line,) = map(msgspec.json.decode, lines)
    assert (line["event"], line["level"], line["events"], line["lost_bytes"]) == (
        *("platform.logs_dropped", "warning"),
        *(2, 99),
    )


def test_exports_that_follow_one_another_are_one_event_and_nothing_changes_places() -> None:
    """Each event has the machine look at everything: for a flush of an SDK once is enough."""
    told = [ExportStored(0, 10), ExportStored(10, 30), BatchStored(30, 40), ExportStored(50, 60), ExportsSettled(60)]
    assert list(together(told)) == [ExportStored(0, 30), BatchStored(30, 40), ExportStored(50, 60), ExportsSettled(60)]
    assert list(together([ExportStored(0, 10), ExportStored(10, 20)])) == [ExportStored(0, 20)]
