"""What each process has imported at which point: every import is paid for at cold start, and in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[1] / "build" / "layer" / "tailrace"
LAUNCHER = LAYER.parent / "extensions" / "tailrace"

# The beginning of a program that finds modules as an environment does: the launcher, all but its last lines.
FOUND = f"""
import sys
start = open({str(LAUNCHER)!r}).read().partition("from lifecycle.__main__")[0]
exec(start, {{"__file__": {str(LAUNCHER)!r}}})
"""

BOOT = {"_socket", "errno", "gc", "lifecycle"}
# What msgspec and httptools cannot be had without, and what of the standard library is ours.
SUPERVISOR = BOOT | {
    *("_collections", "_datetime", "_struct", "cython_runtime", "fcntl", "httptools", "itertools", "math", "mmap"),
    *("_sre", "msgspec", "select"),
}
SHIPPER = SUPERVISOR | {
    *("_bisect", "_functools", "_operator", "binascii", "shipper", "zlib"),
}
LEAN = "from lifecycle.contract import lean; lean.load(); import lifecycle.supervisor"


def imported(code: str) -> set[str]:
    """Top-level modules that `code` brings in, beyond what the bare interpreter has."""
    program = f"""
import sys
bare = set(sys.modules)
{FOUND}{code}
print(*{{name.partition(".")[0] for name in set(sys.modules) - bare}})
"""
    out = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout
    return set(out.split())


@pytest.mark.parametrize(
    ("code", "budget"),
    [
        ("import lifecycle.__main__", BOOT),
        (LEAN, SUPERVISOR),
        (f"{LEAN}, collector.server", SUPERVISOR | {"_blake2", "collector"}),
        (f"{LEAN}, shipper.worker", SHIPPER),
    ],
    ids=["boot", "supervisor", "collector", "shipper"],
)
def test_process_imports_no_more_than_its_budget(code: str, budget: set[str]) -> None:
    """A new name here is a decision, not an accident."""
    assert {name for name in imported(code) if not name.startswith("_cython")} - budget == set()


def test_the_intake_is_loaded_only_where_it_is_on() -> None:
    """Who does not use it pays for nothing of it: neither its own module nor what counts an export's items."""
    program = f"""
{FOUND}{LEAN}, collector.server
print(*sys.modules)
"""
    out = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True).stdout
    assert {"collector.otlp_intake", "lifecycle.contract.otlp_wire", "zlib"}.isdisjoint(out.split())


@pytest.mark.parametrize(
    "dear", ["structlog", "tenacity", "zlib_ng", "_ssl", "logging", "socket", "json", "random", "threading"]
)
def test_dear_modules_are_not_imported_by_any_process_at_start(dear: str) -> None:
    """They wait for the first line, the first retry, the first TLS connection, or for ever."""
    assert dear not in imported(f"{LEAN}, collector.server, shipper.worker")


SHIPS = """
import os, sys, time, _socket, _thread
from lifecycle.contract import backlog, log, settings, wire
from shipper import worker
listener = _socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
def serve(peer):
    while head := peer.recv(65536):
        while b"\\r\\n\\r\\n" not in head:
            head += peer.recv(65536)
        head, _, body = head.partition(b"\\r\\n\\r\\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\\r")[0])
        while len(body) < length:
            body += peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
def accept():
    while True:
        _thread.start_new_thread(serve, (_socket.socket(fileno=listener._accept()[0]),))
_thread.start_new_thread(accept, ())
at = b'{"time":"2024-05-20T16:29:45.008Z","type":'
traced = b'"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1"'
named = b'"record":{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd",'
start = at + b'"platform.start",' + named + b'"tracing":{"type":"X-Amzn-Trace-Id","value":%b}}}' % traced
line = at + b'"function","record":"a line of text\\\\n"}'
done = at + b'"platform.runtimeDone",' + named + b'"status":"success","metrics":{"durationMs":12.0}}}'
report = at + b'"platform.report",' + named + b'"metrics":{"durationMs":12.0,"billedDurationMs":13}}}'
body = b"[" + b",".join([start, line, line, done, report]) + b"]"
memory = backlog.Backlog(100_000)
writer = backlog.Writer(memory, end=0, released=0)
writer.append(body, events=5, observed_ns=1, digest=bytes(8))
commands, orders = os.pipe()
reading, reports = os.pipe2(os.O_DIRECT)
wire.send(orders, wire.Ship(since=0, skip=0, until=writer.end, deadline=time.monotonic() + 20, is_final=True))
def hang_up():
    while wire.shipper_reports.decode(wire.receive(reading)).through < writer.end:
        pass
    os.close(orders)
_thread.start_new_thread(hang_up, ())
environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%d" % listener.getsockname()[1]}
worker.run(
    commands=commands, reports=reports, backlog=memory, settings=settings.Settings(environ), log=log.Log("shipper")
)
"""


def test_a_whole_invocation_is_shipped_without_what_compiles_patterns() -> None:
    """Its lines, its span and its metrics: every environment ships these, and `re` with what it needs takes 1.3 MB."""
    loaded = imported(f"from lifecycle.contract import lean; lean.load()\n{SHIPS}")
    assert "shipper" in loaded
    assert {"re", "enum", "functools", "contextlib"} & loaded == set()
