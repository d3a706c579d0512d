"""What the extension says of itself in its log: the ledger of each environment, and what it complains of."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

# What the first route is called.
FIRST = "default"


class Ledger(msgspec.Struct, kw_only=True):
    """The counts of `lifecycle.ended`, the extension's last line: of one route, where there are several."""

    event: str = ""
    accepted: int = 0
    shipped: int = 0
    waiting: int = 0
    left: dict[str, int] = {}
    dropped: dict[str, int] = {}
    dropped_bytes: dict[str, int] = {}
    repeated: int = 0
    lost_by_platform: int = 0
    lost_by_platform_bytes: int = 0
    refused: dict[str, int] = {}
    refused_bytes: dict[str, int] = {}
    requests: int = 0
    retried: int = 0
    wire_bytes: int = 0
    held_ms: float = 0.0
    otlp: dict[str, dict[str, int]] = {}

    @property
    def exported(self) -> int:
        """What of the accepted the function exported itself."""
        return sum(counts.get("accepted", 0) for counts in self.otlp.values())


COUNTS = (
    *("accepted", "shipped", "waiting", "repeated", "lost_by_platform", "lost_by_platform_bytes"),
    *("requests", "retried", "wire_bytes", "held_ms"),
)
# What each route has for itself.
OWN = ("shipped", "waiting", "left", "dropped", "dropped_bytes", "requests", "retried", "wire_bytes", "otlp")
BY_REASON = ("left", "dropped", "dropped_bytes", "refused", "refused_bytes")


def ledgers(printed: Iterable[str], route: str = FIRST) -> list[Ledger]:
    """What each environment's extension said when it ended, of a route where there are several."""
    found = []
    for line in printed:
        try:
            ledger = msgspec.json.decode(line, type=Ledger)
        except msgspec.MsgspecError:
            continue
        if ledger.event == "lifecycle.ended":
            own = json.loads(line).get("routes", {}).get(route, {})
            found.append(msgspec.structs.replace(ledger, **{name: own[name] for name in OWN if name in own}))
    return found


def summed(parts: list[Ledger]) -> Ledger:
    """One ledger of several."""
    total = Ledger()
    for name in COUNTS:
        setattr(total, name, sum(getattr(part, name) for part in parts))
    for name in BY_REASON:
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(getattr(part, name))
        setattr(total, name, dict(counts))
    for part in parts:
        for signal, more in part.otlp.items():
            total.otlp[signal] = dict(Counter(total.otlp.get(signal, {})) + Counter(more))
    return total


def complaints(printed: Iterable[str]) -> list[str]:
    """Lines of the extension that somebody should look at: warnings, errors, and whatever is not its log."""
    found = []
    for line in printed:
        try:
            value: Any = json.loads(line)
        except ValueError:
            value = None
        level = value.get("level") if isinstance(value, dict) else None
        if level not in ("debug", "info"):
            found.append(line.rstrip())
    return found
