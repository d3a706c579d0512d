"""Our own stand-in for Firehose and Kinesis, no product of theirs: moto takes whatever it is given.

It holds requests to botocore's models and to the documented limits, and fails records one by one as a test says.
"""

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self

from tests.shipper import aws_models

_MIB = 1_048_576

# By operation: what the stream is called, most bytes of a request and of a record, both before base64.
_LIMITS = {
    "Firehose_20150804.PutRecordBatch": ("DeliveryStreamName", 4 * _MIB, 1000 * 1024),
    "Kinesis_20131202.PutRecords": ("StreamName", 5 * _MIB, _MIB),
}
_MOST_RECORDS = 500
_MOST_KEY = 256


class StreamServer:
    """A server on loopback; a context manager.

    Args:
        fails: What is wrong with a record, by its data; "" for nothing.
        trouble: What is wrong with a whole request, by its number: status and error; None for nothing.
    """

    def __init__(
        self,
        *,
        fails: Callable[[bytes], str] = lambda _data: "",
        trouble: Callable[[int], tuple[int, str] | None] = lambda _number: None,
    ) -> None:
        self.fails = fails
        self.trouble = trouble
        self.taken: list[tuple[str, bytes]] = []
        self.requests: list[int] = []
        self.complaints: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row that was taken."""
        return [json.loads(line) for _, data in self.taken for line in data.splitlines()]

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        """Status and JSON that a request is answered with."""
        operation = headers.get("x-amz-target", "")
        found = _LIMITS.get(operation)
        if found is None or headers.get("content-type") != "application/x-amz-json-1.1":
            return self._error("UnknownOperationException", f"{operation} {headers.get('content-type')}")
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            return self._error("MissingAuthenticationTokenException", "unsigned")
        name, most_bytes, most_record = found
        asked = json.loads(body)
        wrong = aws_models.problems(operation, asked)
        if wrong:
            return self._error("ValidationException", "; ".join(wrong))
        records = asked["Records"]
        datas = [base64.b64decode(record["Data"], validate=True) for record in records]
        keys = [record.get("PartitionKey", "") for record in records]
        self.requests.append(len(records))
        trouble = self.trouble(len(self.requests))
        if trouble is not None:
            return trouble[0], {"__type": trouble[1], "message": "as told"}
        sizes = [len(data) + len(key.encode()) for data, key in zip(datas, keys, strict=True)]
        if not 0 < len(records) <= _MOST_RECORDS or sum(sizes) > most_bytes or max(sizes) > most_record:
            return self._error("InvalidArgumentException", f"{len(records)} records, {sum(sizes)} bytes")
        if name == "StreamName" and not all(0 < len(key) <= _MOST_KEY for key in keys):
            return self._error("ValidationException", "PartitionKey")
        results: list[dict[str, str]] = []
        for key, data in zip(keys, datas, strict=True):
            failed_by = self.fails(data)
            if failed_by:
                results.append({"ErrorCode": failed_by, "ErrorMessage": "Slow down."})
            else:
                self.taken.append((key, data))
                results.append({"RecordId": "1", "SequenceNumber": "1", "ShardId": "0"})
        failed = sum("ErrorCode" in result for result in results)
        if name == "StreamName":
            return 200, {"FailedRecordCount": failed, "Records": results}
        return 200, {"FailedPutCount": failed, "Encrypted": False, "RequestResponses": results}

    def _error(self, kind: str, message: str) -> tuple[int, object]:
        self.complaints.append(f"{kind}: {message}")
        return 400, {"__type": f"com.amazonaws#{kind}", "message": message}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """One request."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, found = outer.answer(headers, body)
                text = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Says nothing."""

        return Handler
