"""A function as functions are: loads what they load, and logs 20 lines an invocation."""

import http.client
import json
import logging
import os
import ssl
import time
import urllib.request
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

logger = logging.getLogger("shop")
logger.setLevel("INFO")
context_of_tls = ssl.create_default_context()
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context_of_tls))
connection_class = http.client.HTTPSConnection

INIT_MS = (time.time_ns() - int(os.environ["BENCH_BEGAN_NS"])) / 1e6


def took_ms() -> dict[str, float]:
    """What processor the others in the group have taken since this program began, by their names."""
    before = dict(line.split()[:2] for line in os.environ["BENCH_TOOK_NS"].splitlines())
    found: dict[str, float] = {}
    for pid in Path(os.environ["BENCH_MEMBERS"]).read_text(encoding="ascii").split():
        if int(pid) != os.getpid():
            process = Path("/proc") / pid
            ns = int((process / "schedstat").read_text(encoding="ascii").split()[0]) - int(before.get(pid, 0))
            found[(process / "comm").read_text(encoding="utf-8").strip()] = ns / 1e6
    return found


TOOK_MS = took_ms()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Logs 20 orders; returns how long the function took from its start until it could be invoked, and who else did."""
    for number in range(20):
        order = {
            "id": str(uuid.uuid4()),
            "at": datetime.now(timezone.utc).isoformat(),
            "total": str(Decimal(number) / 3),
        }
        logger.info("order placed %s", json.dumps(order))
    return {"init_ms": INIT_MS, "took_ms": TOOK_MS}
