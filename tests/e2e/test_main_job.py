"""The main job from the built layer: everything the platform delivers reaches the backend."""

import gzip
import statistics
import time
from pathlib import Path

import msgspec
import pytest

from tests.e2e.conftest import NAME, Start
from tests.sandbox import Destination, Platform

pytestmark = pytest.mark.e2e


def test_everything_arrives_over_a_whole_life(start: Start) -> None:
    """Cold start, text and JSON, freeze and thaw, an exception, a timeout, a new environment, shutdown."""
    run = start(timeout_s=1.0)
    run.invoke(lines=5, say="first")
    run.invoke(json={"level": "WARN", "message": "structured"}, log="logged")
    run.env.idle(0.3)
    assert run.env.invoke({"raise": "on purpose"}).error["errorMessage"] == "on purpose"  # type: ignore[index]
    assert run.env.invoke({"lines": 3, "say": "last words", "sleep_s": 5}).status == "timeout"
    run.invoke(lines=2, say="anew")
    run.end()
    assert run.lost() == 0
    bodies = run.bodies()
    for said, count in (("first", 5), ("last words", 3), ("anew", 2)):
        assert sum(body.startswith(said) for body in bodies) == count
    assert any("on purpose" in body for body in bodies)
    assert any("structured" in body for body in bodies)


def test_healthy_run_prints_nothing(start: Start) -> None:
    """At the default level there is nothing to say."""
    run = start()
    run.invoke(lines=3)
    run.invoke(lines=3)
    run.end()
    assert run.said() == []


@pytest.mark.parametrize("flush", ["adaptive", "end", "interval"])
def test_every_policy_delivers_everything(start: Start, flush: str) -> None:
    """When it is shipped is one thing, whether it is another."""
    run = start(TAILRACE_FLUSH=flush, TAILRACE_FLUSH_INTERVAL_MS="300")
    for number in range(6):
        run.invoke(lines=10, say=f"r{number}")
        run.env.idle(0.1)
    run.end()
    assert run.lost() == 0


def test_policy_end_has_delivered_when_the_invocation_ends(start: Start) -> None:
    """The last line is at the backend before the environment may freeze."""
    run = start(TAILRACE_FLUSH="end")
    for number in range(3):
        run.invoke(lines=4, say=f"r{number}")
        assert sum(body.startswith(f"r{number}") for body in run.bodies()) == 4
    run.end()


def test_held_time_is_in_the_last_line(start: Start) -> None:
    """About what the platform sees: from the function's return to the question for the next event."""
    run = start(TAILRACE_FLUSH="end", TAILRACE_LOG_LEVEL="info")
    # What a function takes by itself is far more than what the two may differ by on a busy machine.
    held_ms = [run.invoke(lines=3, sleep_s=0.3).held_ms for _ in range(5)]
    starved_ms = run.env.starved_ms(NAME)
    run.end()
    (line,) = run.events("lifecycle.ended")
    assert line["held_ms"] == pytest.approx(sum(held_ms), abs=10.0 * len(held_ms) + min(starved_ms, 1000.0))
    assert line["held_ms"] > 0


def test_policy_interval_holds_nothing(start: Start) -> None:
    """Between shipments /next is called at once."""
    run = start(TAILRACE_FLUSH="interval", TAILRACE_FLUSH_INTERVAL_MS="60000")
    held = [run.held_ms(lines=4) for _ in range(5)]
    run.end()
    assert min(held) < 5, held
    assert statistics.median(held) < 20, held  # which is less than what the platform buffers
    assert run.lost() == 0


def test_long_function_ships_while_it_runs(start: Start) -> None:
    """A record does not wait for the function's end."""
    run = start(timeout_s=5.0, TAILRACE_FLUSH_INTERVAL_MS="200")
    result = run.invoke(lines=3, say="early", sleep_s=1.0)
    returned_s = time.monotonic() - result.held_ms / 1000
    first = next(request for request in run.backend.requests if b"early" in request.body)
    assert first.received_s < returned_s - 0.1
    assert result.held_ms < 1000
    run.end()
    assert run.lost() == 0


def test_tcp_delivers_everything(start: Start) -> None:
    """Newline-delimited JSON over one connection."""
    run = start(TAILRACE_PROTOCOL="tcp", TAILRACE_FLUSH="end")
    for number in range(3):
        run.invoke(lines=20, say=f"r{number}")
    run.end()
    assert run.lost() == 0


def test_chunked_and_repeated_batches_are_stored_once(start: Start) -> None:
    """The platform may send a batch twice, and need not say its length."""
    run = start(platform=Platform(duplicate_every=1, chunked=True), TAILRACE_LOG_LEVEL="info")
    run.invoke(lines=20)
    run.end()
    assert run.env.telemetry(NAME).duplicated_batches > 0
    assert run.lost() == 0
    assert run.backend.duplicates() == {}
    assert run.events("lifecycle.ended")[0]["repeated"] > 0


def test_json_log_format_arrives_structured(start: Start) -> None:
    """A record that is an object loses no key."""
    run = start(log_format="JSON")
    run.invoke(log="hello", json={"a": {"b": [1, 2.5, None, True]}})
    run.end()
    assert run.lost() == 0
    assert any("hello" in body for body in run.bodies())


@pytest.mark.parametrize("flavour", ["provisioned-concurrency", "snap-start"])
def test_where_init_is_on_nobodys_path_everything_is_warm_before_the_first_question(start: Start, flavour: str) -> None:
    """Workers, TLS and the retry library are loaded before /next."""
    run = start(platform=Platform(flavour=flavour), TAILRACE_LOG_LEVEL="debug")  # type: ignore[arg-type]
    run.env.start()
    run.invoke(lines=5)
    run.end()
    assert run.lost() == 0
    said = [(line["event"], line.get("what")) for line in run.lines()]
    ready = [number for number, line in enumerate(said) if line[1] == "WorkerReady"]
    invoked = said.index(("machine.handled", "Invoked"))
    assert len(ready) == 2
    assert max(ready) < invoked


def test_restored_snapshot_becomes_one_of_a_kind(start: Start) -> None:
    """At its first invocation: a new name, new ids, new connections."""
    run = start(platform=Platform(flavour="snap-start"), TAILRACE_LOG_LEVEL="debug", TAILRACE_FLUSH="end")
    run.env.start()
    run.invoke(lines=2)
    run.invoke(lines=2)
    run.end()
    assert run.lost() == 0
    (restored,) = run.events("lifecycle.restored")
    assert {record.resource["faas.instance"] for record in run.backend.unique()} == {restored["instance_id"]}
    assert run.events("shipper.restored")


def test_managed_instances_ship_by_the_interval(start: Start) -> None:
    """No INVOKE events, no freeze, invocations interleave."""
    run = start(
        platform=Platform(flavour="lambda-managed-instances"), log_format="JSON", TAILRACE_FLUSH_INTERVAL_MS="200"
    )
    run.env.start()
    for number in range(4):
        run.invoke(lines=5, say=f"r{number}")
    run.backend.wait_for(20, timeout_s=5)
    run.end()
    assert run.lost() == 0


def test_ndjson_destination_gets_every_event_as_a_line(start: Start) -> None:
    """Any HTTP backend, any headers; what a line means is found."""
    with Destination() as backend:
        run = start(
            backend=backend,
            OTEL_EXPORTER_OTLP_ENDPOINT="",
            TAILRACE_DESTINATION=f"{backend.url}/ingest?k=v",
            TAILRACE_HEADERS="X-Api-Key=hunter22",
        )
        run.invoke(lines=5)
        run.invoke(json={"level": "WARN", "message": "structured", "order": 7})
        run.end()
        request = backend.requests[0]
        assert request.path == "/ingest?k=v"
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["x-api-key"] == "hunter22"
        lines = [msgspec.json.decode(line) for req in backend.requests for line in req.body.splitlines()]
        assert len(lines) == len(run.env.telemetry(NAME).emitted)
        of_function = [line for line in lines if line["type"] == "function"]
        assert [line["message"] for line in of_function[:5]] == [f"line {number}" for number in range(5)]
        (structured,) = [line for line in of_function if line["message"] == "structured"]
        assert (structured["level"], structured["attributes"]) == ("WARN", {"order": 7})
        assert structured["requestId"] != of_function[0]["requestId"]
        reports = [line["record"] for line in lines if line["type"] == "platform.report"]
        assert {report["requestId"] for report in reports} <= {line["requestId"] for line in of_function}


def test_file_destination_appends_every_event(start: Start, tmp_path: Path) -> None:
    """For looking at what a function says, with no backend at all."""
    path = tmp_path / "new" / "out.ndjson"
    run = start(OTEL_EXPORTER_OTLP_ENDPOINT="", TAILRACE_DESTINATION=f"file:{path}")
    run.invoke(lines=5)
    run.end()
    assert len(path.read_text().splitlines()) == len(run.env.telemetry(NAME).emitted)


def test_stdout_destination_prints_every_event(start: Start) -> None:
    """And does not ship what it printed when it subscribes to extensions' lines, too."""
    run = start(
        OTEL_EXPORTER_OTLP_ENDPOINT="", TAILRACE_DESTINATION="stdout:", TAILRACE_TYPES="platform,function,extension"
    )
    run.invoke(lines=5)
    run.invoke(lines=5)
    run.end()
    lines = run.lines()
    assert sum("line " in str(line.get("record", "")) for line in lines) == 10
    assert len(lines) < 100


def test_debug_log_does_not_feed_itself(start: Start) -> None:
    """Subscribed to extensions' lines at debug: our own are recognised, not answered with more."""
    run = start(TAILRACE_LOG_LEVEL="debug", TAILRACE_TYPES="platform,function,extension")
    run.invoke(lines=2)
    run.env.idle(0.2)
    run.invoke(lines=2)
    run.end()
    assert len(run.said()) < 400
    assert not any("tailrace." in body for body in run.bodies())


def test_https_is_verified(start: Start) -> None:
    """An unknown authority is refused, a known one is not."""
    with Destination(tls=True) as backend:
        run = start(backend=backend, TAILRACE_FLUSH="end", TAILRACE_FLUSH_BUDGET_MS="200")
        run.invoke(lines=1)
        run.end()
        assert backend.records() == []
        assert any(line["level"] == "warning" for line in run.lines())
        run = start(backend=backend, SSL_CERT_FILE=str(backend.ca_path))
        run.invoke(lines=1)
        run.end()
        assert run.lost() == 0


@pytest.mark.parametrize("signals", ["logs", "logs,traces,metrics"])
def test_requests_are_gzipped_and_keep_their_connection(start: Start, signals: str) -> None:
    """A new one for every request would cost more than it; signals that are under way at once have one each."""
    run = start(TAILRACE_FLUSH="end", TAILRACE_SIGNALS=signals)
    for _ in range(4):
        run.invoke(lines=5)
    run.end()
    assert len(run.backend.requests) >= 4
    assert run.backend.connections <= len(signals.split(","))
    request = run.backend.requests[0]
    assert gzip.decompress(request.wire) == request.body
