"""Our own stand-in for Grafana Loki, no product of Grafana's: its push API in JSON, with the limits it has by default.

What of a request is valid is stored, and 400 tells of the rest, as Loki does; an entry that comes again, equal to the
byte, is there once.
"""

import json
import re
import time
from typing import Any

from tests.shipper.destinations.stub import Answer, RefusedError, Stub

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NS = 1_000_000_000


class LokiServer(Stub):
    """Loki on loopback.

    Args:
        tenant: What X-Scope-OrgID must say; "" for any.
        now_ns: The server's time, from which limits of age count; 0: when it was made.
        most_line: Bytes of a line.
    """

    def __init__(self, *, tenant: str = "", now_ns: int = 0, most_line: int = 262_144) -> None:
        super().__init__()
        self.tenant = tenant
        self.now_ns = now_ns or time.time_ns()
        self.most_line = most_line
        self.entries: list[dict[str, Any]] = []
        self._known: set[bytes] = set()

    def taken(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Takes a push."""
        if target != "/loki/api/v1/push":
            raise RefusedError(404, b"404 page not found\n")
        if self.tenant and headers.get("x-scope-orgid") != self.tenant:
            raise RefusedError(401, b"no org id\n")
        faults: list[str] = []
        stored = 0
        for stream in json.loads(body)["streams"]:
            labels: dict[str, str] = stream["stream"]
            if not labels:
                raise RefusedError(400, b"error at least one label pair is required per stream\n")
            shown = _shown(labels)
            if len(labels) > 15:
                raise RefusedError(400, f"entry for stream '{shown}' has {len(labels)} label names; limit 15".encode())
            for name, value in labels.items():
                assert _LABEL.fullmatch(name), name
                assert len(name) <= 1024
                assert len(value) <= 2048
            for moment, line, metadata in stream["values"]:
                fault = self._fault(shown, int(moment), line, metadata)
                if fault:
                    faults.append(fault)
                else:
                    self._store(labels, moment, line, metadata)
                    stored += 1
        if faults:
            raise RefusedError(400, "\n".join(faults).encode())
        return 204, b""

    def _fault(self, stream: str, moment: int, line: str, metadata: dict[str, Any]) -> str:
        if not all(isinstance(value, str) for value in metadata.values()):
            raise RefusedError(400, b"could not parse structured metadata")
        assert all(_LABEL.fullmatch(name) for name in metadata), metadata
        oldest = self.now_ns - 7 * 86_400 * _NS
        if moment < oldest:
            return (
                f"entry for stream '{stream}' has timestamp too old: {_at(moment)}, oldest acceptable timestamp is: "
                f"{_at(oldest)}"
            )
        if moment > self.now_ns + 600 * _NS:
            return f"entry for stream '{stream}' has timestamp too new: {_at(moment)}"
        if len(line.encode()) > self.most_line:
            return f"Max entry size '{self.most_line}' bytes exceeded for stream '{stream}' while adding an entry"
        size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
        if size > 65_536 or len(metadata) > 128:
            return f"stream '{stream}' has structured metadata too large: '{size}' bytes, limit: '65536' bytes"
        newest = max((entry["time"] for entry in self.entries if entry["stream"] == stream), default=0)
        behind = newest - 3600 * _NS
        if moment < behind:
            return (
                f"entry with timestamp {_at(moment)} ignored, reason: 'entry too far behind, entry timestamp is: "
                f"{_at(moment)}, oldest acceptable timestamp is: {_at(behind)}',\nuser 'fake', total ignored: 1 out of "
                f"1 for stream: {stream}"
            )
        return ""

    def _store(self, labels: dict[str, str], moment: str, line: str, metadata: dict[str, str]) -> None:
        entry = json.dumps([labels, moment, line, metadata], sort_keys=True).encode()
        if entry not in self._known:
            self._known.add(entry)
            shown = _shown(labels)
            self.entries.append(
                {"stream": shown, "labels": labels, "time": int(moment), "line": line, "metadata": metadata}
            )


def _at(moment_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_ns // _NS))


def _shown(labels: dict[str, str]) -> str:
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{pairs}}}"
