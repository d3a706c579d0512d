"""Prints as many lines of as many bytes as it is asked to."""

import sys
from typing import Any

WORDS = [f"{number * 2654435761 % 2**32:08x}" for number in range(512)]


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Prints event["lines"] different lines of event["bytes"] bytes each; with event["json"], as JSON."""
    lines, size = event["lines"], event.get("bytes", 150)
    for number in range(lines):
        if event.get("json"):
            words = " ".join(WORDS[(number * 31 + word * 7) % 512] for word in range(size // 18))
            sys.stdout.write(f'{{"level":"INFO","message":"line {number} {words}","order":{number},"logger":"shop"}}\n')
            continue
        text = f"line {number} " + " ".join(WORDS[(number * 31 + word * 7) % 512] for word in range(size // 9))
        sys.stdout.write(text[: size - 1].ljust(size - 1, ".") + "\n")
    sys.stdout.flush()
    return {"lines": lines}
