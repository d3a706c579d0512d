"""Our own stand-in for Elasticsearch's and OpenSearch's `_bulk`, no product of theirs: it knows data streams alone.

It holds requests to what the two document: NDJSON that ends with a newline, `create` and nothing else, an `@timestamp`
in each document, a body below a limit, keys that are right; and it answers for each document.
"""

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

from tests.shipper.destinations.stub import Answer, Stub

# What becomes of a document, unless a test says otherwise: status, error type and reason; "" for none.
Verdict = tuple[int, str, str]

_TARGET = re.compile(r"/(?P<stream>[a-z0-9.-]+)/_bulk(\?(?P<query>.*))?")
_MOST_ID_BYTES = 512
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z")


class BulkServer(Stub):
    """A server on loopback; a context manager.

    Args:
        keys: Values of Authorization that may write; none: everybody may.
        most_bytes: Largest body, uncompressed, like `http.max_content_length`.
        verdict: What becomes of a document; None for what always does.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, ...] = (),
        most_bytes: int = 1_000_000,
        verdict: Callable[[dict[str, Any]], Verdict | None] = lambda _document: None,
    ) -> None:
        self.keys = keys
        self.most_bytes = most_bytes
        self.verdict = verdict
        self.streams: dict[str, dict[str, dict[str, Any]]] = {}
        self.complaints: list[str] = []
        super().__init__()

    def documents(self, stream: str) -> list[dict[str, Any]]:
        """What is in a data stream, in the order of creation."""
        return list(self.streams.get(stream, {}).values())

    def answered(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """What a request is answered with."""
        status, said = self._answer(target, headers, body)
        return status, b"" if said is None else json.dumps(said).encode()

    def _answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        self.requests.append((target, headers))
        found = _TARGET.fullmatch(target)
        if found is None:
            return self._error(404, "invalid_index_name_exception", target)
        if self.keys and headers.get("authorization") not in self.keys:
            return self._error(401, "security_exception", "missing authentication credentials for REST request")
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if len(body) > self.most_bytes:
            return 413, None
        if headers.get("content-type") not in ("application/x-ndjson", "application/json"):
            return self._error(406, "media_type_header_exception", headers.get("content-type", "none"))
        if not body.endswith(b"\n"):
            return self._error(400, "illegal_argument_exception", "The bulk request must be terminated by a newline")
        lines = body.split(b"\n")[:-1]
        if len(lines) % 2:
            return self._error(400, "illegal_argument_exception", "an action without a source")
        stream = self.streams.setdefault(found["stream"], {})
        items = [self._created(stream, *pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
        has_errors = any("error" in item["create"] for item in items)
        # As `filter_path` has it: what was asked for.
        return 200, {"errors": has_errors, "items": items}

    def _created(self, stream: dict[str, dict[str, Any]], action: bytes, source: bytes) -> dict[str, dict[str, Any]]:
        ((name, parameters),) = json.loads(action).items()
        document = json.loads(source)
        uid = parameters.get("_id", "")
        status, kind, reason = self._judged(stream, name, uid, document)
        if kind:
            return {"create": {"status": status, "error": {"type": kind, "reason": reason}}}
        stream[uid] = document
        return {"create": {"status": status}}

    def _judged(self, stream: dict[str, Any], name: str, uid: str, document: dict[str, Any]) -> Verdict:
        if name != "create":
            self.complaints.append(f"{name} in a data stream")
            return 400, "illegal_argument_exception", "only write ops with an op_type of create are allowed"
        if not 0 < len(uid.encode()) <= _MOST_ID_BYTES:
            self.complaints.append(f"_id of {len(uid.encode())} bytes")
            return 400, "illegal_argument_exception", "id is too long"
        if not _TIME.fullmatch(str(document.get("@timestamp"))):
            self.complaints.append(f"@timestamp {document.get('@timestamp')}")
            return 400, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing"
        if uid in stream:
            return 409, "version_conflict_engine_exception", f"[{uid}]: version conflict, document already exists"
        return self.verdict(document) or (201, "", "")

    @staticmethod
    def _error(status: int, kind: str, reason: str) -> tuple[int, object]:
        return status, {"error": {"type": kind, "reason": reason}, "status": status}
