"""Bad input and faults that must not hurt: nothing hangs, nothing crashes the function, good records arrive."""

import json
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lifecycle.contract.settings import Settings
from lifecycle.machine.restarts import DEATHS_TO_FAIL
from tests.e2e.conftest import LAYER, NAME, Run, Start
from tests.faults.cell import Scene
from tests.sandbox import Hang, Platform

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (202, "telemetry_unsupported"),
        (400, "subscription_refused"),
        (403, "subscription_refused"),
        (500, "subscription_refused"),
        ("drop", "subscription_failed"),
    ],
)
def test_refused_subscription_is_said_once_and_the_function_runs(start: Start, fault: Any, reason: str) -> None:
    """The extension keeps calling /next and ships nothing."""
    run = start(platform=Platform(subscribe_fault=fault))
    for _ in range(3):
        assert run.held_ms(lines=2) < 100  # who waits for what does not come waits for 500
    run.end()
    (line,) = run.lines()
    assert (line["event"], line["level"], line["reason"]) == ("lifecycle.idled", "warning", reason)
    assert run.backend.requests == []


def test_missing_destination_is_said_once_and_not_worth_a_subscription(start: Start) -> None:
    """The platform would buffer for nobody, and a process that only waits is enough."""
    run = start(platform=Platform(freeze=False), OTEL_EXPORTER_OTLP_ENDPOINT="")
    run.invoke(lines=2)
    _wait_until(lambda: run.said() and len(run.env.processes(NAME)) == 1)
    run.invoke(lines=2)
    run.end()
    (line,) = run.lines()
    assert (line["event"], line["reason"]) == ("lifecycle.idled", "no_destination")
    assert not [call for call in run.env.calls if "telemetry" in call.api]


def test_disabled_extension_says_nothing(start: Start) -> None:
    """Somebody wanted it so."""
    run = start(TAILRACE_ENABLED="0")
    run.invoke(lines=2)
    run.end()
    assert run.said() == []
    assert run.backend.requests == []


def test_destination_that_does_not_parse_is_explained(start: Start) -> None:
    """The variable, what was expected, what is used; the value may hold a secret."""
    run = start(OTEL_EXPORTER_OTLP_ENDPOINT="", TAILRACE_DESTINATION="https//user:hunter2@typo")
    run.invoke(lines=2)
    run.end()
    ignored, idled = run.lines()
    assert ignored["variable"] == "TAILRACE_DESTINATION"
    assert "otlp+http" in ignored["expected"]
    assert idled["reason"] == "no_destination"
    assert "hunter2" not in "".join(run.said())


# What would change where telemetry goes, or what of it.
UNTOUCHED = {"TAILRACE_DROP", "TAILRACE_KEEP", "TAILRACE_REDACT"}


def test_every_setting_given_nonsense_ships_with_the_defaults(start: Start) -> None:
    """Each is said once; nothing else happens."""
    nonsense = {
        row.variable: "\u2603 nonsense\x01"
        for row in Settings.table()
        if row.variable != "OTEL_EXPORTER_OTLP_ENDPOINT" and row.variable not in UNTOUCHED
    }
    run = start(**nonsense)
    run.invoke(lines=5)
    run.end()
    assert [body for body in run.bodies() if body.startswith("line ")] == [f"line {n}" for n in range(5)]
    ignored = {line["variable"] for line in run.events("settings.value_ignored")}
    assert ignored >= {row.variable for row in Settings.table() if row.variable in nonsense and row.kind != "text"}


def test_strict_settings_fail_the_init(start: Start) -> None:
    """For those who want it in staging."""
    run = start(TAILRACE_STRICT="1", TAILRACE_FLUSH="never")
    result = run.env.invoke({})
    assert result.status == "error"
    assert result.error is not None
    assert result.error["errorType"].startswith("Extension.")
    assert any(line.get("variable") == "TAILRACE_FLUSH" for line in run.lines())


def test_port_that_is_taken_is_replaced(start: Start) -> None:
    """It is said, and everything arrives."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        run = start(TAILRACE_LISTEN_HOST="127.0.0.1", TAILRACE_LISTEN_PORT=port)
        run.invoke(lines=5)
        run.end()
    assert run.lost() == 0
    assert [line["variable"] for line in run.events("settings.value_ignored")] == ["TAILRACE_LISTEN_PORT"]


@pytest.mark.parametrize("fault", ["unknown-event", 403, 500, "drop"])
def test_odd_answer_to_next_is_asked_again(start: Start, fault: Any) -> None:
    """The invocation goes on, and so does the extension."""
    run = start(platform=Platform(next_faults={2: fault}), TAILRACE_FLUSH="end")
    for number in range(3):
        run.invoke(lines=3, say=f"r{number}")
    run.end()
    assert run.lost() == 0


def test_next_that_is_refused_again_and_again_neither_hangs_nor_spins(start: Start) -> None:
    """It is asked with pauses, and said."""
    run = start(platform=Platform(next_faults=dict.fromkeys(range(2, 6), 500)), TAILRACE_FLUSH="end")
    run.invoke(lines=3)
    run.invoke(lines=3)
    run.end()
    assert run.lost() == 0
    assert run.events("next.refused")


def listener_port(run: Run) -> int:
    """Where the collector listens, as it told the platform."""
    call = next(call for call in run.env.calls if call.status == 200 and b"sandbox.localdomain" in call.body)
    return int(json.loads(call.body)["destination"]["URI"].rpartition(":")[2].strip("/"))


def post(port: int, body: bytes, head: bytes = b"POST / HTTP/1.1\r\nHost: x\r\n") -> int:
    """Sends one request on a connection of its own; the status, 0 when there was none."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            answer = b""
            while more := connection.recv(4096):
                answer += more
        except ConnectionResetError:
            pass
        return int(answer.split(b" ", 2)[1]) if answer else 0


ODD_EVENTS: list[Any] = [
    {"time": "2026-01-01T00:00:00.000Z", "type": "platform.neverHeardOf", "record": {"a": {"b": [1, None]}}},
    {"time": "yesterday", "type": "function", "record": "odd time"},
    {"type": "function", "record": "no time"},
    {"time": "2026-01-01T00:00:00.000Z", "type": "function"},
    {"time": 5, "type": 6, "record": 7},
    {"time": "2026-01-01T00:00:00.000Z", "type": "function", "record": [1, "two", {"three": 3}]},
    {"time": "2026-01-01T00:00:00.000Z", "type": "platform.report", "record": {"metrics": {"durationMs": "12"}}},
    {"time": "2026-01-01T00:00:00.000Z", "type": "platform.runtimeDone", "record": "a string"},
    {"time": "2026-01-01T00:00:00.000Z", "type": "function", "record": '\u0000 \U0001f600 \\n " </script>'},
    ["not", "an", "object"],
    17,
    None,
    {},
]


def test_telemetry_of_unknown_types_and_shapes_arrives(start: Start) -> None:
    """What is not understood is shipped with its JSON intact."""
    run = start(platform=Platform(freeze=False))
    run.invoke(lines=1)
    before = len(run.backend.unique())
    assert post(listener_port(run), json.dumps(ODD_EVENTS).encode()) == 200
    run.invoke(lines=1)
    run.end()
    assert len(run.backend.unique()) - before >= len(ODD_EVENTS)
    assert run.lost() == -len(ODD_EVENTS)
    arrived = "\n".join(f"{record.body} {record.attributes}" for record in run.backend.unique())
    for text in ("neverHeardOf", "odd time", "no time", "a string", "\U0001f600"):
        assert text in arrived


MALFORMED = [
    (b"{", b"POST / HTTP/1.1\r\n", 400),
    (b'{"not":"an array"}', b"POST / HTTP/1.1\r\n", 400),
    (b"\xff\xfe[]", b"POST / HTTP/1.1\r\n", 400),
    (b"", b"GET / HTTP/1.1\r\n", 405),
    (b"[]", b"NONSENSE\r\n", 400),
]


def test_a_thousand_malformed_requests_hurt_nobody(start: Start) -> None:
    """Each gets its 4xx; the good batches between them arrive; the lines said are few."""
    run = start(platform=Platform(freeze=False))
    run.invoke(lines=1)
    port = listener_port(run)
    for number in range(1000):
        body, head, status = MALFORMED[number % len(MALFORMED)]
        assert post(port, body, head) == status
        if number % 100 == 0:
            good = [{"time": "2026-01-01T00:00:00.000Z", "type": "function", "record": f"good {number}\n"}]
            assert post(port, json.dumps(good).encode()) == 200
    run.invoke(lines=1)
    run.end()
    assert run.lost() == -10
    assert sum(body.startswith("good ") for body in run.bodies()) == 10
    assert len(run.said()) < 100


def test_batch_too_large_is_refused_and_the_next_taken(start: Start) -> None:
    """413, and nothing else is lost."""
    run = start(platform=Platform(freeze=False), TAILRACE_BACKLOG_BYTES="2097152")
    run.invoke(lines=1)
    port = listener_port(run)
    assert post(port, b'["' + b"x" * 2_000_000 + b'"]') == 413
    run.invoke(lines=5)
    run.end()
    assert run.lost() == 0


def test_largest_buffer_with_the_smallest_backlog_loses_nothing(start: Start) -> None:
    """Each is legal by itself; a batch that the backlog could never take would be refused, and lost."""
    run = start(
        platform=Platform(freeze=False),
        TAILRACE_BACKLOG_BYTES="2097152",
        TAILRACE_BUFFER_BYTES="1048576",
        TAILRACE_BUFFER_ITEMS="10000",
        TAILRACE_BUFFER_MS="500",
    )
    run.invoke(lines=60, say="x" * 20_000)
    run.end()
    assert run.lost() == 0
    assert run.events("collector.request_refused") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_counts_as_shutdown(start: Start, number: signal.Signals) -> None:
    """For local use: what is there is shipped, then it ends with 0."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="interval", TAILRACE_LOG_LEVEL="info")
    run.invoke(lines=5, say="unshipped")
    supervisor = next(process for process in run.env.processes(NAME) if process.comm == "tr-lifecycle")
    os.kill(supervisor.pid, number)
    run.backend.wait_for(5, timeout_s=3)
    _wait_until(lambda: run.events("lifecycle.ended"))
    (line,) = run.events("lifecycle.ended")
    assert (line["waiting"], line["dropped"]) == (0, {})


@pytest.mark.parametrize("comm", ["tr-collector", "tr-shipper"])
def test_killed_worker_is_replaced_and_nothing_is_lost(start: Start, comm: str) -> None:
    """The function does not notice; the line says what happened."""
    run = start(TAILRACE_FLUSH="end")
    for number in range(4):
        run.invoke(lines=10, say=f"r{number}")
        run.env.kill(NAME, comm)
    run.invoke(lines=10, say="last")
    run.end()
    assert run.lost() == 0
    assert run.events("worker.exited")


def test_requests_of_a_shipper_that_dies_are_counted_and_nothing_is_shipped_that_nobody_took(start: Start) -> None:
    """Killed in each of its requests: the ledger knows of them all the same."""
    run = start(platform=Platform(freeze=False), TAILRACE_PLATFORM_LOGS="", TAILRACE_FLUSH="end")
    run.backend.faults.always(Hang())
    for number in range(1, 4):
        run.invoke(lines=2)
        _wait_until(partial(_has_requests, run, number))
        _wait_until(lambda: "tr-shipper" in {one.comm for one in run.env.processes(NAME)})
        run.env.kill(NAME, "tr-shipper")
    run.end()
    (line,) = run.events("lifecycle.ended")
    assert line["requests"] >= 3
    assert line["shipped"] == 0
    assert line["accepted"] == line["waiting"] + sum(line["dropped"].values())


@pytest.mark.parametrize("comm", ["tr-collector", "tr-shipper"])
def test_worker_that_cannot_be_forked_is_tried_again(start: Start, comm: str) -> None:
    """No descriptors for a while: as if it had died once more. Nothing is lost, and it is said."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end")
    run.invoke(lines=5)
    _wait_until(lambda: {one.comm for one in run.env.processes(NAME)} >= {"tr-collector", "tr-shipper"})
    (supervisor,) = (one.pid for one in run.env.processes(NAME) if one.comm == "tr-lifecycle")
    limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    # Enough to wait on what it has: poll(2) takes no more of them than that.
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (7, limits[1]))
    run.env.kill(NAME, comm)
    _wait_until(lambda: run.events("worker.not_started"))
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
    _wait_until(lambda: [one for one in run.env.processes(NAME) if one.comm == comm])
    run.invoke(lines=5)
    run.end()
    assert run.lost() == 0
    assert "Too many open files" in run.events("worker.not_started")[0]["error"]


def test_worker_that_keeps_dying_is_said_once_and_all_is_delivered_when_it_lives(start: Start) -> None:
    """/next is asked for as ever, and the successor that is started at shutdown ships all that waits."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end")
    run.invoke(lines=1)
    scene = Scene(run.env, run.backend)
    scene.haunt("tr-shipper")
    try:
        _wait_until(lambda: run.invoke(lines=1) and run.events("worker.kept_dying"), 20.0)
    finally:
        scene.leave()
    for _ in range(3):
        run.invoke(lines=1)
    run.end()
    assert run.lost() == 0
    assert [line["worker"] for line in run.events("worker.kept_dying")] == ["shipper"]
    assert len(run.events("worker.exited")) >= DEATHS_TO_FAIL


def test_shipper_that_hangs_at_shutdown_is_replaced_and_all_is_delivered(start: Start) -> None:
    """Not in a request, which ends by itself: as in a file system, where no order reaches it."""
    run = start(
        platform=Platform(freeze=False),
        TAILRACE_FLUSH_BUDGET_MS="0",  # shipments go alongside, and one is under way when the function returns
        TAILRACE_FLUSH_INTERVAL_MS="100",
        TAILRACE_LOG_LEVEL="info",
    )
    run.invoke(lines=5)
    run.env.idle(0.2)
    run.backend.faults.always(Hang())
    run.invoke(lines=5)
    run.env.kill(NAME, "tr-shipper", signal.SIGSTOP)
    run.backend.faults.clear()
    run.end()
    assert run.lost() == 0
    assert [line["worker"] for line in run.events("worker.stuck")] == ["tr-shipper".removeprefix("tr-")]


def test_shipper_that_hangs_holds_a_few_of_many_short_invocations(start: Start) -> None:
    """Though it is ordered anew each time, before what it was ordered last is late."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH="end", TAILRACE_LOG_LEVEL="info")
    run.invoke(lines=5)
    run.env.kill(NAME, "tr-shipper", signal.SIGSTOP)
    held = [run.invoke(lines=5).held_ms > 300 for _ in range(8)]
    run.end()
    assert 1 <= sum(held) <= 4
    assert not any(held[-3:])
    assert [line["worker"] for line in run.events("worker.stuck")] == ["shipper"]
    assert run.lost() == 0


def test_collector_that_hangs_costs_an_invocation_no_more_than_a_budget(start: Start) -> None:
    """It owes the invocation's start in 225 ms, not at the deadline; and for how long it held is in the ledger."""
    run = start(
        timeout_s=10.0,
        platform=Platform(freeze=False, delivery_timeout_s=0.1),
        TAILRACE_FLUSH="end",
        TAILRACE_LOG_LEVEL="info",
    )
    usual_ms = run.invoke(lines=5).held_ms
    run.env.kill(NAME, "tr-collector", signal.SIGSTOP)
    held_ms = run.invoke(lines=5).held_ms
    assert 200 < held_ms < 500 + 500  # the budget, and as much again for a busy machine
    run.end()
    assert [line["worker"] for line in run.events("worker.stuck")] == ["collector"]
    (line,) = run.events("lifecycle.ended")
    assert line["held_ms"] == pytest.approx(usual_ms + held_ms, abs=300)
    assert run.lost() == 0


def test_collector_to_which_nothing_is_delivered_is_left_alone(start: Start) -> None:
    """It is idle: the platform has nothing for it, or keeps it to itself."""
    run = start(platform=Platform(freeze=False), TAILRACE_TYPES="function", TAILRACE_LOG_LEVEL="debug")
    run.invoke(sleep_s=0.7)
    run.end()
    answered = [line["worker"] for line in run.events("machine.handled") if line["what"] == "WorkerAnswered"]
    assert "collector" in answered
    assert run.events("worker.stuck") == []
    assert run.events("worker.exited") == []


def test_layer_that_cannot_be_loaded_leaves_the_function_alone(start: Start, tmp_path: Path) -> None:
    """The likeliest mistake: a zip for another Python. It says what is wrong, and goes on calling /next."""
    broken = tmp_path / "layer"
    shutil.copytree(LAYER, broken)
    for core in (broken / "tailrace" / "msgspec").glob("_core*.so"):
        core.unlink()
    run = start(layer=broken)
    for _ in range(3):
        run.invoke(lines=2)
    assert not _listening(run)
    run.end()
    (line,) = run.lines()
    assert (line["event"], line["level"]) == ("lifecycle.crashed", "error")
    assert "msgspec" in line["traceback"]


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_killed_supervisor_leaves_no_orphan(start: Start, *, is_busy: bool) -> None:
    """A worker whose command pipe closes exits, also from the middle of a request that hangs."""
    run = start(platform=Platform(freeze=False), TAILRACE_FLUSH_BUDGET_MS="0", TAILRACE_FLUSH_INTERVAL_MS="100")
    run.invoke(lines=2)
    if is_busy:
        seen = len(run.backend.requests)
        run.backend.faults.always(Hang())
        run.env.idle(0.2)
        run.invoke(lines=2)
        _wait_until(lambda: len(run.backend.requests) > seen)
    pids = [process.pid for process in run.env.processes(NAME)]
    assert len(pids) == 3
    run.env.kill(NAME, "tr-lifecycle")
    _wait_until(lambda: not any(_is_alive(pid) for pid in pids))


def _wait_until(holds: Callable[[], object], limit_s: float = 5.0) -> None:
    """Waits for something another process does."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"not so within {limit_s} s"
        time.sleep(0.01)


def _has_requests(run: Run, least: int) -> bool:
    return len(run.backend.requests) >= least


def _listening(run: Run) -> list[str]:
    """The sockets on which the extension listens."""
    (process,) = run.env.processes(NAME)
    of_process = {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in of_process]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it goes between opening and reading
        return False
