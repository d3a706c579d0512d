"""Prints as many lines of as many bytes as it is asked to, and exports what it is given as often."""

import base64
import http.client
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

numbers = count()
WORDS = [f"{number * 2654435761 % 2**32:08x}" for number in range(512)]


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Prints event["lines"] different lines of event["bytes"] bytes each; with event["json"], as JSON.

    Then exports event["body"] event["requests"] times, each with other ids.
    """
    lines, size = event["lines"], event.get("bytes", 150)
    for number in range(lines):
        if event.get("json"):
            words = " ".join(WORDS[(number * 31 + word * 7) % 512] for word in range(size // 18))
            sys.stdout.write(f'{{"level":"INFO","message":"line {number} {words}","order":{number},"logger":"shop"}}\n')
            continue
        text = f"line {number} " + " ".join(WORDS[(number * 31 + word * 7) % 512] for word in range(size // 9))
        sys.stdout.write(text[: size - 1].ljust(size - 1, ".") + "\n")
    sys.stdout.flush()
    answered_ms = list(exported(base64.b64decode(event["body"]), event["requests"])) if event.get("requests") else []
    return {"lines": lines, "answered_ms": answered_ms}


def exported(body: bytes, requests: int) -> Iterator[float]:
    """How many milliseconds each took to be answered."""
    port = os.environ["TAILRACE_OTLP_PORT"]
    address = Path(f"/tmp/tailrace-otlp-{port}").read_text(encoding="ascii").strip()
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    for _ in range(requests):
        changed = body.replace(b"#number#", b"%08x" % next(numbers))
        began = time.perf_counter()
        connection.request("POST", "/v1/traces", changed, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        yield (time.perf_counter() - began) * 1000
    connection.close()
