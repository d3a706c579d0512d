"""A function that does what its event says."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

log = logging.getLogger()
log.setLevel("INFO")

# A file that is there once: an init that fails is tried again inside the invocation.
if "BREAKS_ONCE" in os.environ and Path(os.environ["BREAKS_ONCE"]).exists():
    Path(os.environ["BREAKS_ONCE"]).unlink()
    os._exit(3)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Logs, prints, sleeps or raises."""
    for number in range(event.get("lines", 0)):
        print(f"{event.get('say', 'line')} {number}", flush=True)
    if "json" in event:
        print(json.dumps(event["json"]), flush=True)
    if "runtime" in event:
        import runtimes  # type: ignore[import-not-found]  # it lies beside this in the function

        print(runtimes.LINES[event["runtime"]](context.aws_request_id), flush=True)
    if "log" in event:
        log.warning("%s", event["log"])
    if "sleep_s" in event:
        time.sleep(event["sleep_s"])
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise ValueError(event["raise"])
    return {"ok": True}
