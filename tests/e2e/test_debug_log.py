"""At debug, the whole life of an environment can be rebuilt from the lines."""

from itertools import pairwise

import pytest

from tests.e2e.conftest import Start

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
    released = [line["through"] for line in run.events("machine.ordered") if line["what"] == "Release"]
    shipped = [line["through"] for line in run.events("shipper.batch_shipped")]
    for batch in stored:
        assert any(line.get("end") == batch["end"] for line in run.events("collector.reported"))
        assert any(order["since"] <= batch["start"] and batch["end"] <= order["until"] for order in ordered)
        assert any(through >= batch["end"] for through in shipped)
        assert any(through >= batch["end"] for through in released)


def test_nothing_is_said_three_times(start: Start) -> None:
    """What the collector says of a batch no report's line repeats; an invocation takes no more than 4.2 kB to tell."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    for _ in range(6):
        run.invoke(lines=5)
    run.end()
    lines = [line for line in run.said() if line.startswith("{")]
    invoked = [number for number, line in enumerate(lines) if '"what":"Invoked"' in line]
    # Of the first one there is more to tell, and on a busy machine of one whose lines come in two batches.
    told_bytes = min(sum(len(line.rstrip()) + 1 for line in lines[at:end]) for at, end in pairwise(invoked[1:]))
    print(f"{told_bytes} bytes an invocation at debug")
    assert told_bytes < 4200
    for batch in run.events("collector.batch_stored"):
        assert sum(f'"digest":"{batch["digest"]}"' in line for line in lines) == 1
    handled = [line for line in run.events("machine.handled") if line["what"] == "BatchStored"]
    assert all("reported" not in line for line in handled)
    assert any(line.get("finished") for line in handled)


def test_each_decision_has_its_reason_and_each_state_change_its_line(start: Start) -> None:
    """Why /next was asked, why something was shipped, and what the machine then waited for."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    run.invoke(lines=5)
    run.end()
    ordered = run.events("machine.ordered")
    assert {line["what"] for line in ordered} >= {"Ship", "FetchNext", "Release", "Exit"}
    assert all(line["reason"] for line in ordered if line["what"] in ("Ship", "FetchNext"))
    changes = [(line["before"], line["after"]) for line in run.events("machine.state_changed")]
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
