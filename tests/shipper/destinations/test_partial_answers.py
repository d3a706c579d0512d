"""What delivery makes of answers that are half a success: what was taken is not lost, what is at fault is dropped."""

from typing import Any

import pytest

from shipper.delivery.batch import Batch, BatchLimits
from shipper.delivery.delivery import Delivery
from shipper.destinations.destination import Destination
from tests.shipper.delivery.scene import batch_of
from tests.shipper.destinations.bulk_server import BulkServer
from tests.shipper.destinations.loki_server import LokiServer
from tests.shipper.destinations.splunk_server import SplunkServer
from tests.shipper.destinations.stub import made, record
from tests.shipper.support import TIME_NS, Lines, Timing

HOUR_NS = 3_600_000_000_000


def delivered(destination: Destination, *items: bytes) -> tuple[Batch, Lines]:
    """A batch of these items, delivered until nothing is owed."""
    lines, batch = Lines("info"), batch_of(*items)
    timing = Timing()
    delivery = Delivery(
        destination, timing, BatchLimits(1_000_000, 1000), base_s=0.05, most_s=5.0, log=lines.log, clock=timing
    )
    delivery.begin_shipment()
    delivery.deliver([batch], lambda _batch: None)
    destination.close()
    assert batch.is_done
    return batch, lines


@pytest.mark.parametrize("keeps_before", [True, False])
def test_splunk_has_all_events_but_the_one_at_fault(keeps_before: Any) -> None:
    """Once, or twice those that stood before it, as Splunk may have it; that one is dropped, in Splunk's words."""
    with SplunkServer(bad="bad", keeps_before=keeps_before) as server:
        destination = made(f"splunk+http://x:k@127.0.0.1:{server.port}", TAILRACE_HEADERS="Authorization=Splunk t0ken")
        items = [destination.encoder.log(record(at, b'"bad"' if at == 5 else b'"good"')) for at in range(9)]
        batch, lines = delivered(destination, *items)
        found = [event["fields"]["uid"] for event in server.events]
    assert set(found) == {f"uid-{at}" for at in range(9) if at != 5}
    assert len(found) == 8 + 5 * keeps_before
    assert batch.lost == {5: "refused"}
    (dropped,) = [line for line in lines.written if line["event"] == "shipper.record_dropped"]
    assert (dropped["answer"], dropped["said"]) == ("code_6", "Invalid data format")


def test_loki_has_all_entries_once_that_are_not_too_old() -> None:
    """Two of them for Loki, one too long: those are dropped, each for its reason."""
    with LokiServer(now_ns=TIME_NS, most_line=100) as server:
        destination = made(f"loki+http://127.0.0.1:{server.port}")
        old = [record(at, time_ns=TIME_NS - (200 + at) * HOUR_NS) for at in (0, 3)]
        good = [record(at) for at in (1, 2, 4)]
        items = [destination.encoder.log(one) for one in (old[0], good[0], good[1], old[1], good[2])]
        batch, _ = delivered(destination, *items)
        assert (len(server.entries), len(server.requests), batch.lost) == (3, 1, {0: "refused", 3: "refused"})
        long = destination.encoder.log(record(7, b'"%b"' % (b"x" * 101)))
        batch, lines = delivered(destination, items[1], long, destination.encoder.log(record(8)))
        assert [entry["metadata"]["uid"] for entry in server.entries] == ["uid-1", "uid-2", "uid-4", "uid-8"]
        assert batch.lost == {1: "refused"}
        assert lines.events().count("shipper.record_dropped") == 1


@pytest.mark.parametrize(("behind_ms", "too_old"), [(300, 5), (700, 6)])
def test_loki_is_asked_again_about_the_second_at_which_too_old_begins(behind_ms: int, too_old: int) -> None:
    """Its answer tells no less: each entry is there once, or dropped and counted."""
    with LokiServer(now_ns=TIME_NS) as server:
        destination = made(f"loki+http://127.0.0.1:{server.port}")
        second_ns = TIME_NS // 1_000_000_000 * 1_000_000_000
        newest = record(99, time_ns=second_ns + behind_ms * 1_000_000)
        delivered(destination, destination.encoder.log(newest))
        start_ns = second_ns - HOUR_NS - 2_000_000_000
        several = [record(at, time_ns=start_ns + at * 500_000_000) for at in range(8)]
        batch, _ = delivered(destination, *(destination.encoder.log(one) for one in several))
        found = [entry["metadata"]["uid"] for entry in server.entries]
    assert sorted(found) == [*(f"uid-{at}" for at in range(too_old, 8)), "uid-99"]
    assert batch.lost == dict.fromkeys(range(too_old), "refused")


def test_that_each_document_is_to_come_again_is_said_as_of_a_request() -> None:
    """As of a cluster whose disk is full: nothing else would tell of it."""
    blocked = (403, "cluster_block_exception", "index [x] blocked by: [disk usage exceeded]")
    with BulkServer(verdict=lambda _document: blocked if len(server.requests) <= 3 else None) as server:
        destination = made(f"elasticsearch+http://127.0.0.1:{server.port}/logs-x")
        _, lines = delivered(destination, *(destination.encoder.log(record(at)) for at in range(3)))
        assert len(server.documents("logs-x")) == 3
    assert lines.events() == ["shipper.delivery_failing", "shipper.delivery_recovered"]
    failing, recovered = lines.written
    assert (failing["reason"], failing["said"]) == blocked[1:]
    assert recovered["failures"] == 3


def test_an_answer_that_is_too_long_to_be_read_is_asked_for_in_parts() -> None:
    """Elasticsearch repeats in it what it could not take."""

    def verdict(document: dict[str, Any]) -> tuple[int, str, str] | None:
        is_bad = document["message"] == "bad"
        preview = f"failed to parse field. Preview of field's value: '{'x' * 20_000}'"
        return (400, "document_parsing_exception", preview) if is_bad else None

    with BulkServer(verdict=verdict) as server:
        destination = made(f"elasticsearch+http://127.0.0.1:{server.port}/logs-x")
        several = [record(at, b'"bad"' if at % 2 else b'"good"') for at in range(160)]
        batch, _ = delivered(destination, *(destination.encoder.log(one) for one in several))
        assert len(server.documents("logs-x")) == 80
    assert batch.lost == dict.fromkeys(range(1, 160, 2), "refused")


def test_documents_that_are_there_are_not_sent_again_with_those_that_came_too_fast() -> None:
    """Each has its own fate, in the order in which the answer tells it."""
    busy = {"two": 2}

    def verdict(document: dict[str, Any]) -> tuple[int, str, str] | None:
        message = document["message"]
        if busy.get(message, 0):
            busy[message] -= 1
            return 429, "es_rejected_execution_exception", "rejected execution"
        return (400, "document_parsing_exception", "no") if message == "bad" else None

    with BulkServer(verdict=verdict) as server:
        destination = made(f"elasticsearch+http://127.0.0.1:{server.port}/logs-x")
        bodies = (b'"one"', b'"two"', b'"bad"', b'"three"')
        batch, _ = delivered(
            destination, *(destination.encoder.log(record(at, body)) for at, body in enumerate(bodies))
        )
        assert [one["message"] for one in server.documents("logs-x")] == ["one", "three", "two"]
    assert batch.lost == {2: "refused"}
    assert server.complaints == []
