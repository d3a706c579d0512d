"""What the shipper's process has imported, and when: every import is paid for at cold start."""

import subprocess
import sys

HEAVY = (
    "http.client urllib.request requests logging asyncio email json gzip hashlib random ssl socket tenacity structlog "
    "_ssl encodings.idna unicodedata binascii"
)

SCRIPT = """
import sys
import msgspec
sys.path.insert(0, {root!r})
from lifecycle.contract import backlog, log, settings, wire
before = set(sys.modules)
from shipper import worker
import os, threading, _socket, _thread
heavy = {heavy!r}.split()
late = [*heavy, "httptools"]
print([name for name in late if name in sys.modules and name not in before], file=sys.stderr)

listener = _socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
def serve():
    connection = listener._accept()[0]
    peer = _socket.socket(fileno=connection)
    peer.recv(65536)
    peer.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
_thread.start_new_thread(serve, ())
memory = backlog.Backlog(100_000)
writer = backlog.Writer(memory, end=0, released=0)
body = b'[{{"time":"2024-05-20T16:29:45.008Z","type":"function","record":"a"}}]'
writer.append(body, events=1, observed_ns=1, digest=bytes(8))
commands, orders = os.pipe(); reading, reports = os.pipe()
import time
wire.send(orders, wire.Ship(since=0, skip=0, until=writer.end, deadline=time.monotonic() + 20))
def hang_up():
    print(wire.shipper_reports.decode(wire.receive(reading)).events, file=sys.stderr)
    os.close(orders)
_thread.start_new_thread(hang_up, ())
destination = "otlp+http://127.0.0.1:%d" % listener.getsockname()[1]
worker.run(commands=commands, reports=reports, backlog=memory,
    settings=settings.Settings({{"TAILRACE_DESTINATION": destination}}), log=log.Log("shipper"))
print([name for name in heavy if name in sys.modules and name not in before], file=sys.stderr)
"""


def test_a_healthy_delivery_imports_nothing_heavy() -> None:
    """Neither at start nor over a whole delivery; `threading` is the script's own."""
    root = str(__import__("pathlib").Path(__file__).parents[2])
    script = SCRIPT.format(root=root, heavy=HEAVY).replace("import os, threading, ", "import os, ")
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert found.stderr.splitlines() == ["[]", "1", "[]"]


def test_warming_imports_what_is_otherwise_late() -> None:
    """Where init is on nobody's path."""
    script = """if True:
        import sys
        from lifecycle.contract.settings import Settings
        from shipper.worker import warm
        warm(Settings({"TAILRACE_DESTINATION": "https://backend.example/"}))
        print({"_ssl", "tenacity", "httptools"} <= set(sys.modules))
    """
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout == "True\n"
