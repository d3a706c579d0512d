"""Prints as many different lines as it is asked to, then sleeps, dies or returns."""

import os
import sys
import time
from typing import Any

time.sleep(float(os.environ.get("INIT_S", "0")))


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Thinks, prints event["rows"] as they are and event["lines"] lines that begin with event["tag"]."""
    time.sleep(event.get("thinks_s", 0))
    size = event.get("bytes", 0)
    for row in event.get("rows", ()):
        sys.stdout.write(row + "\n")
    sys.stdout.write(
        "".join(f"{event['tag']} {number} ".ljust(size - 1, ".") + "\n" for number in range(event["lines"]))
    )
    sys.stdout.flush()
    time.sleep(event.get("sleep_s", 0))
    if event.get("dies"):
        os._exit(1)
