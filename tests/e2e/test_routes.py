"""Lives from the built layer with two routes: what arrives at both, and that nothing of one reaches the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NAME, Run, Start
from tests.sandbox import Destination
from tests.sandbox.backend_faults import Hang

pytestmark = pytest.mark.e2e


@pytest.fixture
def archive() -> Iterator[Destination]:
    """The second route's backend."""
    with Destination() as backend:
        yield backend


def to(backend: Destination) -> str:
    """A backend as the address of a further route."""
    return f"otlp+{backend.url}"


def ledger_of(run: Run) -> dict[str, dict[str, Any]]:
    """The ledger of each route, whose equation holds."""
    (line,) = run.events("lifecycle.ended")
    for route in line["routes"].values():
        assert line["accepted"] == route["shipped"] + route["waiting"] + sum(route["dropped"].values())
    routes: dict[str, dict[str, Any]] = line["routes"]
    return routes


def test_everything_arrives_at_both_once(start: Start, archive: Destination) -> None:
    """Lines, spans and metrics; the first shipper is there at boot, the other one beside the first invocation."""
    run = start(TAILRACE_DESTINATION_ARCHIVE=to(archive), TAILRACE_LOG_LEVEL="debug")
    for number in range(3):
        run.invoke(lines=5, say=f"{number}:", sleep_s=0.15)
    run.end()
    for backend in (run.backend, archive):
        assert len(backend.records()) == len(backend.unique()) == len(run.env.telemetry(NAME).emitted)
        assert {record.signal for record in backend.all_records()} == {"logs", "traces", "metrics"}
    routes = ledger_of(run)
    assert set(routes) == {"default", "archive"}
    assert all(not route["waiting"] and not route["dropped"] for route in routes.values())
    started = [line["worker"] for line in run.events("worker.started")]
    assert started == ["collector", "shipper", "shipper-archive"]
    # Whatever is said of a route names it.
    assert {line["route"] for line in run.lines() if line["logger"] == "tailrace.shipper"} == {"default", "archive"}
    committed = [line["worker"] for line in run.events("machine.handled") if line["what"] == "OffsetCommitted"]
    assert set(committed) == {"shipper", "shipper-archive"}
    ordered = [line["worker"] for line in run.events("machine.ordered") if line["what"] == "Ship"]
    assert set(ordered) == {"shipper", "shipper-archive"}


def test_settings_in_a_file_are_what_variables_are(start: Start, archive: Destination, tmp_path: Path) -> None:
    """A route with its key and its rule; the environment's own word counts, and a line that is none is said."""
    file = tmp_path / "tailrace.env"
    file.write_text(
        f"# of all functions\nTAILRACE_DESTINATION_ARCHIVE={to(archive)}\nTAILRACE_HEADERS_ARCHIVE=api-key=pl4nted\n"
        "TAILRACE_MIN_LEVEL_ARCHIVE=error\nTAILRACE_PLATFORM_LOGS=0\nnonsense\n"
    )
    run = start(TAILRACE_SETTINGS_FILE=str(file))
    run.invoke(lines=2, sleep_s=0.2)
    run.invoke(json={"level": "ERROR", "message": "broken"}, sleep_s=0.1)
    run.end()
    assert len(run.backend.unique()) == len(run.env.telemetry(NAME).emitted)
    assert "broken" in [record.body for record in archive.records()]
    assert {request.headers["api-key"] for request in archive.requests} == {"pl4nted"}
    assert "pl4nted" not in "".join(run.said())
    ignored = run.events("settings.value_ignored")
    assert [(line["variable"], line["value"]) for line in ignored if "by reference" not in line["expected"]] == [
        ("TAILRACE_SETTINGS_FILE", "line 6")
    ]


def test_a_redaction_that_cannot_be_read_stops_its_own_route_alone(start: Start, archive: Destination) -> None:
    """The other one has everything, in the words of its own rules."""
    run = start(
        TAILRACE_DESTINATION_ARCHIVE=to(archive),
        TAILRACE_REDACT="email",
        TAILRACE_REDACT_ARCHIVE="email;[",
        TAILRACE_LOG_LEVEL="info",
    )
    for _ in range(2):
        run.invoke(lines=1, say="to bob@example.com", sleep_s=0.15)
    run.end()
    assert archive.requests == []
    routes = ledger_of(run)
    assert routes["archive"]["dropped"] == {"unredactable": run.events("lifecycle.ended")[0]["accepted"]}
    assert not routes["default"]["dropped"]
    assert [body for body in run.bodies() if "to " in str(body)] == ["to *** 0"] * 2
    assert [line["route"] for line in run.events("rules.redaction_unreadable")] == ["archive"]


def test_no_byte_of_a_routes_secrets_reaches_the_other(start: Start, archive: Destination) -> None:
    """Headers, users, queries and paths; nor does any of them appear in the log, at debug."""
    host = archive.url.removeprefix("http://")
    with Destination() as first:
        run = start(
            backend=first,
            OTEL_EXPORTER_OTLP_ENDPOINT=first.url.replace("//", "//first-user:first-password@") + "?k=first-query",
            OTEL_EXPORTER_OTLP_HEADERS="x-otlp=first-otlp-header",
            OTEL_EXPORTER_OTLP_LOGS_HEADERS="x-logs=first-logs-header",
            TAILRACE_HEADERS="x-own=first-own-header",
            TAILRACE_DESTINATION_ARCHIVE=f"otlp+http://other-user:other-password@{host}?k=other-query",
            TAILRACE_HEADERS_ARCHIVE="x-own=other-own-header",
            OTEL_EXPORTER_OTLP_HEADERS_ARCHIVE="x-otlp=other-otlp-header",
            TAILRACE_LOG_LEVEL="debug",
        )
        for _ in range(2):
            run.invoke(lines=3, sleep_s=0.15)
        run.end()
        seen = {
            "first-": " ".join(f"{one.path} {one.headers} {one.body!r}" for one in first.requests),
            "other-": " ".join(f"{one.path} {one.headers} {one.body!r}" for one in archive.requests),
        }
    for own, theirs in (("first-", "other-"), ("other-", "first-")):
        assert f"{own}own-header" in seen[own]
        assert f"{own}otlp-header" in seen[own]
        assert f"{own}query" in seen[own]
        assert theirs not in seen[own]
    printed = "\n".join(run.said())
    assert "first-own" not in printed
    assert "other-own" not in printed
    assert "password" not in printed


def test_route_that_lags_gives_up_its_own_oldest_and_the_other_loses_nothing(
    start: Start, archive: Destination
) -> None:
    """More than the backlog holds while one takes nothing; the platform is sent away by nobody."""
    archive.faults.always(Hang())
    run = start(
        TAILRACE_DESTINATION_ARCHIVE=to(archive),
        TAILRACE_BACKLOG_BYTES="2097152",
        TAILRACE_SIGNALS="logs",
        TAILRACE_FLUSH="end",
        timeout_s=20.0,
    )
    for number in range(3):
        run.invoke(lines=2000, say=f"{number}:{'x' * 700}", sleep_s=0.2)
    run.end()
    emitted = len(run.env.telemetry(NAME).emitted)
    assert len(run.backend.records()) == len(run.backend.unique()) == emitted
    routes = ledger_of(run)
    assert routes["default"]["shipped"] == emitted
    assert routes["default"]["dropped"] == {}
    lagging = routes["archive"]["dropped"]["lagging"]
    assert 1000 < lagging < emitted
    assert routes["archive"]["waiting"] == emitted - lagging
    assert {line["route"] for line in run.events("route.lagging")} == {"archive"}


def test_errors_alone_go_where_only_errors_are_asked_for(start: Start, archive: Destination) -> None:
    """Errors to a pager and everything to an archive is two settings."""
    run = start(TAILRACE_DESTINATION_ARCHIVE=to(archive), TAILRACE_MIN_LEVEL_ARCHIVE="error", TAILRACE_PLATFORM_LOGS="")
    run.invoke(lines=2, sleep_s=0.2)
    run.invoke(json={"level": "ERROR", "message": "broken"}, sleep_s=0.1)
    run.invoke(json={"level": "INFO", "message": "fine"}, sleep_s=0.1)
    run.end()
    bodies = [str(record.body) for record in archive.records()]
    assert "broken" in bodies
    assert "fine" not in bodies
    assert {"broken", "fine"} <= set(run.bodies())


def test_route_that_never_had_its_turn_ships_at_shutdown(start: Start, archive: Destination) -> None:
    """A single short invocation: what it said waits for no second one."""
    run = start(TAILRACE_DESTINATION_ARCHIVE=to(archive))
    run.invoke(lines=3)
    run.end()
    assert len(archive.unique()) == len(run.backend.unique()) == len(run.env.telemetry(NAME).emitted)


def test_where_init_is_on_nobodys_path_all_shippers_are_there_before_the_first_event(
    start: Start, archive: Destination
) -> None:
    """Provisioned concurrency: none is left to start beside an invocation, and the first one's lines leave with it."""
    run = start(
        runtime_environ={"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"},
        TAILRACE_DESTINATION_ARCHIVE=to(archive),
        TAILRACE_FLUSH="end",
        TAILRACE_LOG_LEVEL="debug",
    )
    run.invoke(lines=3, say="first")
    assert sum(str(record.body).startswith("first") for record in archive.records()) == 3
    run.end()
    spawned = [line["time"] for line in run.events("worker.started")]
    (invoked, *_) = [line["time"] for line in run.events("machine.handled") if line["what"] == "Invoked"]
    assert len(spawned) == 3
    assert max(spawned) < invoked
