"""What the function itself exports, from the built layer: it arrives once, and the function waits for nothing."""

import base64
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector.test_otlp_intake import JSON, PROTOBUF, points, records, spans, spans_in_json
from tests.e2e.conftest import LAYER, Run, Start
from tests.sandbox import Platform

pytestmark = pytest.mark.e2e

HANDLER = "exporting.handler"
WRAPPER = LAYER / "tailrace" / "wrap"


@pytest.fixture
def intake() -> Iterator[dict[str, str]]:
    """Settings of a function whose runtime the wrapper starts, with a port of its own for the intake."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield {
        "AWS_LAMBDA_EXEC_WRAPPER": str(WRAPPER),
        "TAILRACE_OTLP_PORT": str(port),
        "TAILRACE_LOG_LEVEL": "info",
        "TAILRACE_PLATFORM_LOGS": "0",
        "TAILRACE_SIGNALS": "logs,traces,metrics",
    }
    Path(f"/tmp/tailrace-otlp-{port}").unlink(missing_ok=True)


def request(path: str, body: bytes, content_type: str = PROTOBUF, **how: int) -> dict[str, Any]:
    """A request for the handler to send."""
    return {"path": path, "body": base64.b64encode(body).decode(), "content_type": content_type, **how}


def named(run: Run, begin: str) -> Counter[str]:
    """How often each span, metric and record of the function's own has arrived, by name or body."""
    received = (*run.backend.spans(), *run.backend.metrics(), *run.backend.records())
    return Counter(str(one.body) for one in received if str(one.body).startswith(begin))


def accepted(run: Run) -> dict[str, dict[str, int]]:
    """What the ledgers say of it by signal; fails if they do not add up."""
    found: dict[str, dict[str, int]] = {}
    for ledger in run.events("lifecycle.ended"):
        assert ledger["accepted"] == ledger["shipped"] + ledger["waiting"] + sum(ledger["dropped"].values())
        for signal, counts in ledger.get("otlp", {}).items():
            for name, count in counts.items():
                found.setdefault(signal, {}).setdefault(name, 0)
                found[signal][name] += count
    return found


def test_exports_of_each_signal_and_encoding_arrive_once(start: Start, intake: dict[str, str]) -> None:
    """Answered with 200 and next to nothing; the ledger counts spans, points and records."""
    run = start(handler=HANDLER, TAILRACE_FLUSH="end", **intake)
    sent = [
        request("/v1/traces", spans(3, "proto span")),
        request("/v1/metrics", points(2)),
        request("/v1/logs", records(4)),
        request("/v1/traces", spans_in_json(5), JSON),
    ]
    told = run.invoke(requests=sent).payload
    assert told["endpoint"] == f"http://127.0.0.1:{intake['TAILRACE_OTLP_PORT']}"
    assert [answer[:2] for answer in told["answers"]] == [[200, 0], [200, 0], [200, 0], [200, 2]]
    run.end()
    assert named(run, "proto span") == {f"proto span {number}": 1 for number in range(3)}
    assert named(run, "work") == {f"work {number}": 1 for number in range(5)}
    assert named(run, "m") == {"m": 1}
    assert accepted(run) == {
        "traces": {"accepted": 8, "shipped": 8},
        "metrics": {"accepted": 2, "shipped": 2},
        "logs": {"accepted": 4, "shipped": 4},
    }


@pytest.mark.parametrize("flush", ["adaptive", "end", "interval"])
def test_spans_metrics_and_records_of_the_real_sdk_arrive_once(
    start: Start, intake: dict[str, str], flush: str
) -> None:
    """It knows nothing but its environment, in which the backend's address and key were; they come with the layer."""
    run = start(
        handler=HANDLER,
        timeout_s=20.0,
        WITH_SDK="1",
        TAILRACE_FLUSH=flush,
        OTEL_EXPORTER_OTLP_HEADERS="api-key=secret",
        **intake,
    )
    for number in range(3):
        run.invoke(say=f"call {number}:", spans=4, records=2, count=7, flush=True)
    run.end()
    calls = [f"call {number}: {at}" for number in range(3) for at in range(4)]
    found = named(run, "call")
    assert found == {name: 2 if name[-1] in "01" else 1 for name in calls}  # a record has the name of a span
    assert accepted(run)["traces"] == {"accepted": 12, "shipped": 12}
    assert accepted(run)["logs"] == {"accepted": 6, "shipped": 6}
    sums = [point for one in run.backend.metrics() if one.body == "app.calls" for point in one.raw["sum"]["dataPoints"]]
    assert [int(point["asInt"]) for point in sums] == [7, 14, 21]
    assert {one.headers.get("api-key") for one in run.backend.requests} == {"secret"}


def test_last_flush_of_the_runtime_is_in_the_last_shipment(start: Start, intake: dict[str, str]) -> None:
    """SIGTERM reaches the runtime before SHUTDOWN reaches us, while nothing of ours runs."""
    run = start(handler=HANDLER, timeout_s=20.0, WITH_SDK="1", TAILRACE_FLUSH="end", **intake)
    run.invoke(say="late", spans=3, flushes_at_the_end=True)
    assert named(run, "late") == {}
    run.end()
    assert named(run, "late") == {f"late {number}": 1 for number in range(3)}
    assert accepted(run)["traces"] == {"accepted": 3, "shipped": 3}


def test_export_that_is_cut_off_holds_no_longer_than_the_budget(start: Start, intake: dict[str, str]) -> None:
    """The function returns in the middle of a request that never ends; later invocations do not wait for it again."""
    run = start(handler=HANDLER, TAILRACE_FLUSH="end", TAILRACE_FLUSH_BUDGET_MS="1000", **intake)
    run.invoke(requests=[request("/v1/traces", spans(1, "whole"))])
    cut = run.invoke(requests=[request("/v1/traces", spans(9, "cut"), cut=5)])
    assert cut.held_ms > 700
    assert run.held_ms(requests=[request("/v1/traces", spans(1, "whole too"))]) < 700
    run.end()
    assert set(named(run, "whole")) == {"whole 0", "whole too 0"}
    assert named(run, "cut") == {}


def test_taken_port_is_another_one_and_the_wrapper_knows(start: Start, intake: dict[str, str]) -> None:
    """Something else listens where the intake would."""
    with socket.create_server(("127.0.0.1", int(intake["TAILRACE_OTLP_PORT"]))):
        run = start(handler=HANDLER, TAILRACE_FLUSH="end", **intake)
        told = run.invoke(requests=[request("/v1/traces", spans(2, "elsewhere"))]).payload
        run.end()
    assert told["endpoint"] != f"http://127.0.0.1:{intake['TAILRACE_OTLP_PORT']}"
    assert named(run, "elsewhere") == {"elsewhere 0": 1, "elsewhere 1": 1}
    (ignored,) = run.events("settings.value_ignored")
    assert ignored["variable"] == "TAILRACE_OTLP_PORT"


def test_where_nothing_is_subscribed_exports_are_carried_on_all_the_same(start: Start, intake: dict[str, str]) -> None:
    """As under emulators that know no Telemetry API: nothing tells of ends, so nothing is held."""
    run = start(
        handler=HANDLER,
        platform=Platform(subscribe_fault=202),
        TAILRACE_FLUSH_INTERVAL_MS="300",
        **intake,
    )
    for number in range(3):
        assert run.held_ms(requests=[request("/v1/traces", spans(2, f"alone {number}"))]) < 200
    run.end()
    assert named(run, "alone") == {f"alone {number} {at}": 1 for number in range(3) for at in range(2)}
    (line,) = run.events("lifecycle.unsubscribed")
    assert line["reason"] == "telemetry_unsupported"
    assert accepted(run) == {"traces": {"accepted": 6, "shipped": 6}}


def test_without_the_intake_the_sdk_exports_to_the_backend_itself(start: Start, intake: dict[str, str]) -> None:
    """TAILRACE_OTLP_INTAKE=0 leaves it as its user set it."""
    run = start(handler=HANDLER, timeout_s=20.0, WITH_SDK="1", **{**intake, "TAILRACE_OTLP_INTAKE": "0"})
    told = run.invoke(say="direct", spans=2, flush=True).payload
    assert told["endpoint"] == run.backend.url
    assert named(run, "direct") == {"direct 0": 1, "direct 1": 1}
    run.end()
    assert accepted(run) == {}
