"""Prints as many different lines as it is asked to, exports as many spans, then sleeps, dies or returns."""

import http.client
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

time.sleep(float(os.environ.get("INIT_S", "0")))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Thinks, prints event["rows"] as they are and event["lines"] lines that begin with event["tag"].

    Exports event["exports"] spans whose names begin so, too, one at a time and with pauses; returns which, and how long
    each was waited for. event["behind"]: as many further ones by a thread, which goes on when this has returned and the
    environment is frozen and thawed; what it got rid of is returned by a later invocation.
    """
    time.sleep(event.get("thinks_s", 0))
    size = event.get("bytes", 0)
    for row in event.get("rows", ()):
        sys.stdout.write(row + "\n")
    sys.stdout.write(
        "".join(f"{event['tag']} {number} ".ljust(size - 1, ".") + "\n" for number in range(event["lines"]))
    )
    sys.stdout.flush()
    names = [f"{event['tag']} span {number}" for number in range(event.get("exports", 0))]
    answered_ms = list(exported(names, event.get("pause_s", 0.005)))
    if "behind" in event:
        threading.Thread(target=go_on, args=(f"{event['tag']} behind", event["behind"])).start()
    time.sleep(event.get("sleep_s", 0))
    if event.get("dies"):
        os._exit(1)
    names += [done.popleft() for _ in range(len(done))]
    return {"exported": names, "answered_ms": answered_ms}


done: deque[str] = deque()


def go_on(tag: str, number: int) -> None:
    """Exports spans one after another, without a pause: a freeze falls into one of them."""
    for at in range(number):
        name = f"{tag} {at}"
        list(exported([name], 0.0))
        done.append(name)


def exported(names: list[str], pause_s: float) -> Iterator[float]:
    """Exports spans as an SDK does: on one connection while it lasts, and once more where it broke."""
    connection = None
    for name in names:
        time.sleep(pause_s)
        span = {"name": name, "traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex()}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        began_ms = awake_ms()
        while True:
            try:
                connection = connection or connected()
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"{}")
                break
            except (http.client.HTTPException, ConnectionError):
                connection = None
        yield awake_ms() - began_ms


def connected() -> http.client.HTTPConnection:
    """To where the layer says that it takes what functions export."""
    told = Path(f"/tmp/tailrace-otlp-{os.environ['TAILRACE_OTLP_PORT']}")
    return http.client.HTTPConnection(told.read_text(encoding="ascii").strip().removeprefix("http://"), timeout=10)


def awake_ms() -> float:
    """Milliseconds, without those that this process had no processor for though it was ready."""
    starved_ns = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1])
    return time.perf_counter() * 1000 - starved_ns / 1e6
