"""At debug, the whole life of an environment can be rebuilt from the lines."""

from itertools import pairwise

import pytest

from lifecycle.contract.setting_types import FIRST_ROUTE
from tests.e2e.conftest import Start
from tests.sandbox import Destination
from tests.sandbox.backend_faults import Reset, Status
from tools import events_page
from tools.timeline.answers import answers
from tools.timeline.life import lives
from tools.timeline.lines import found

pytestmark = pytest.mark.e2e


def test_each_batch_can_be_followed_from_socket_to_acknowledgement(start: Start) -> None:
    """By its offsets: stored, reported, ordered, shipped, committed, released."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    run.invoke(lines=5)
    run.invoke(lines=5)
    run.end()
    stored = run.events("collector.batch_stored")
    assert len(stored) == run.env.telemetry("tailrace").batches
    ordered = [line for line in run.events("machine.ordered") if line["what"] == "Ship"]
    handled = [(line["what"], line.get("end")) for line in run.events("machine.handled")]
    committed = [line["through"] for line in run.events("machine.handled") if line["what"] == "OffsetCommitted"]
    released = [line["through"] for line in run.events("machine.ordered") if line["what"] == "Release"]
    shipped = [line["through"] for line in run.events("shipper.batch_shipped")]
    for batch in stored:
        assert ("BatchStored", batch["end"]) in handled
        assert any(order["since"] <= batch["start"] and batch["end"] <= order["until"] for order in ordered)
        assert any(through >= batch["end"] for through in shipped)
        assert any(through >= batch["end"] for through in committed)
        assert any(through >= batch["end"] for through in released)


def test_every_line_says_whose_it_is(start: Start) -> None:
    """A life with two routes, of which one backend is away for a while: each line has what its event is about."""
    with Destination() as archive:
        run = start(
            TAILRACE_DESTINATION_ARCHIVE=f"otlp+{archive.url}",
            TAILRACE_LOG_LEVEL="debug",
            TAILRACE_FLUSH="end",
            TAILRACE_RETRY_BASE_MS="1",
        )
        run.invoke(lines=5, sleep_s=0.15)
        run.backend.faults.script([Status(503)] * 4 + [Reset()])
        for _ in range(3):
            run.invoke(lines=5, sleep_s=0.15)
        run.end()
    lines = run.lines()
    invoked = [line for line in lines if line.get("what") == "Invoked"]
    ids = [line["request_id"] for line in invoked]
    (over,) = [line["time"] for line in lines if line.get("what") == "ShutdownRequested"]
    started = next(line["time"] for line in run.events("collector.batch_stored") if line.get("request_id"))
    for line in lines:
        about = events_page.ABOUT[line["event"]]
        bound = events_page.BOUND[about]
        # What the platform says of an invocation the collector has read no earlier than its first batch.
        begun = started if line["logger"] == "tailrace.collector" else invoked[0]["time"]
        is_invoked = begun <= line["time"] < over and about != "process"
        assert not [name for name in bound if name not in line and (is_invoked or name != events_page.REQUEST_ID)], line
        assert line.get("request_id", ids[0]) in ids
        if about == "request":
            assert line["destination"].startswith(archive.url if line["route"] == "archive" else run.backend.url)
            assert line["destination"].endswith(f"/v1/{line['signal']}") or "connection" in line["event"], line
    assert {line["route"] for line in lines if "route" in line} == {FIRST_ROUTE, "archive"}
    said = {line["event"] for line in lines}
    assert said >= {"shipper.request_failed", "shipper.retry_planned", "shipper.delivery_failing"}
    assert said >= {"shipper.connection_opened", "shipper.connection_closed", "shipper.delivery_recovered"}
    # What is ordered for an invocation has its id, in the process that does it, too.
    for request_id in ids:
        whose = {line["logger"] for line in lines if line.get("request_id") == request_id}
        assert whose == {"tailrace.lifecycle", "tailrace.collector", "tailrace.shipper"}


def test_each_question_is_answered_from_the_log_alone(start: Start) -> None:
    """When a line was received and shipped, why its invocation was held, what was lost and where; in words as well."""
    with Destination() as archive:
        archive.faults.reject("poison")
        run = start(
            TAILRACE_DESTINATION_ARCHIVE=f"otlp+{archive.url}",
            TAILRACE_LOG_LEVEL="debug",
            TAILRACE_FLUSH="end",
            TAILRACE_SIGNALS="logs",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/json",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )
        run.invoke(lines=1, sleep_s=0.15)
        run.invoke(lines=1, say="poison", sleep_s=0.15)
        run.invoke(lines=1, sleep_s=0.15)
        run.end()
    _, request_id, _ = (line["request_id"] for line in run.lines() if line.get("what") == "Invoked")
    about = [line for line in run.lines() if line.get("request_id") == request_id]
    # Received with the batch that brought its invocation's end, and shipped when each route had it.
    (received,) = [line for line in about if request_id in line.get("finished", ())]
    told = [line for line in run.events("machine.handled") if line["what"] == "OffsetCommitted"]
    shipped = {line["worker"]: line["time"] for line in reversed(told) if line["through"] >= received["end"]}
    assert shipped.keys() == {"shipper", "shipper-archive"}
    assert all(at > received["time"] for at in shipped.values())
    (asked,) = [line for line in about if line.get("what") == "FetchNext"]
    assert asked["reason"]
    (dropped,) = run.events("shipper.record_dropped")
    assert (dropped["route"], dropped["signal"], dropped["reason"]) == ("archive", "logs", "refused")
    assert "invalid record" in dropped["said"]
    (ended,) = run.events("lifecycle.ended")
    assert {name: route["dropped"] for name, route in ended["routes"].items()} == {
        FIRST_ROUTE: {},
        "archive": {"refused": 1},
    }
    (life,) = lives(found(run.said()))
    (held,) = [span for span in life.of("held") if span.facts["request_id"] == request_id]
    assert (held.label, round(held.ms)) == (asked["reason"], round(asked["held_s"] * 1000))
    assert {span.label for span in life.of("invocation")} >= {request_id}
    assert {span.lane for span in life.of("shipped")} == {"shipper", "shipper-archive"}
    assert "1 were dropped: refused." in answers(life)["What was lost?"]


def test_nothing_is_said_three_times(start: Start) -> None:
    """What the collector says of a batch no other line repeats; an invocation takes no more than 3.9 kB to tell."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    for _ in range(6):
        run.invoke(lines=5)
    run.end()
    lines = [line for line in run.said() if line.startswith("{")]
    invoked = [number for number, line in enumerate(lines) if '"what":"Invoked"' in line]
    # Of the first one there is more to tell, and on a busy machine of one whose lines come in two batches.
    told = min((lines[at:end] for at, end in pairwise(invoked[1:])), key=lambda some: sum(map(len, some)))
    told_bytes = sum(len(line.rstrip()) + 1 for line in told)
    print(f"{told_bytes} bytes an invocation at debug, in {len(told)} lines")
    assert told_bytes < 3900
    for batch in run.events("collector.batch_stored"):
        assert sum(f'"digest":"{batch["digest"]}"' in line for line in lines) == 1
    handled = [line for line in run.events("machine.handled") if line["what"] == "BatchStored"]
    assert not any({"reported", "finished", "events", "body_bytes"} & set(line) for line in handled)
    assert any(line.get("finished_age_s") for line in handled)


def test_each_decision_has_its_reason_and_each_state_change_its_line(start: Start) -> None:
    """Why /next was asked, why something was shipped, and what the machine then waited for."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    run.invoke(lines=5)
    run.end()
    ordered = run.events("machine.ordered")
    assert {line["what"] for line in ordered} >= {"Ship", "Release", "FetchNext", "Exit"}
    assert all(line["reason"] for line in ordered if line["what"] in ("Ship", "FetchNext"))
    changes = [(line["before"], line["after"]) for line in run.events("machine.handled") if "after" in line]
    assert changes[:2] == [("waiting", "holding"), ("holding", "waiting")]
    assert changes[-1][1] == "closed"
    assert all(before[1] == after[0] for before, after in pairwise(changes))
    assert run.events("lifecycle.booted")[0]["asked_ms"] > 0


def test_secret_appears_in_no_line(start: Start) -> None:
    """Header values, user info and queries are not in what the extension prints."""
    run = start(
        TAILRACE_LOG_LEVEL="debug",
        TAILRACE_HEADERS="Authorization=Bearer%20s3cret-one",
        OTEL_EXPORTER_OTLP_HEADERS="x-api-key=s3cret-two",
        TAILRACE_HEADER="s3cret-three",
        TAILRACE_DESTINATION="otlp+http://user:s3cret-four@127.0.0.1:9/?key=s3cret-five",
        TAILRACE_FLUSH_BUDGET_MS="100",
    )
    run.invoke(lines=1)
    run.end()
    assert run.said()
    assert "s3cret" not in "".join(run.said())
