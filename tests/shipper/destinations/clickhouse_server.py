"""A small HTTP server of our own, not ClickHouse's, before ClickHouse itself, which `chdb` runs in a process.

It takes what the interface takes of an insert, settings and parameters in the query and rows in the body, and answers
as it does: 200, or a status, `X-ClickHouse-Exception-Code` and the exception. A process of its own: ClickHouse has
threads that no process of the tests should have.
"""

import gzip
import json
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self

# What the documentation calls these; the rest is the server's own fault.
_STATUSES = {60: 404, 81: 404, 516: 403, 497: 403, **dict.fromkeys((6, 26, 27, 36, 41, 53, 62, 117), 400)}


class ClickHouse:
    """ClickHouse behind HTTP on loopback; a context manager."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.shipper.destinations.clickhouse_server"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("", timeout=20)  # it ends with its input

    def query(self, text: str) -> list[dict[str, Any]]:
        """The rows of a query; none, of what is no query."""
        url = f"http://127.0.0.1:{self.port}/?" + urllib.parse.urlencode({"query": text})
        with urllib.request.urlopen(urllib.request.Request(url, method="POST", data=b"")) as response:
            return [json.loads(line) for line in response.read().splitlines()]

    def lose_answers(self, count: int) -> None:
        """So many of the next inserts are done, and the connection is closed before that is said."""
        self.query(f"-- lose {count}")

    @property
    def inserts(self) -> list[dict[str, Any]]:
        """What every insert asked for."""
        return self.query("-- inserts")


class _Server:
    """Answers requests.

    Args:
        query: ClickHouse's.
    """

    def __init__(self, query: Any) -> None:
        self._query = query
        self._lock = threading.Lock()
        self._lost = 0
        self._inserts: list[dict[str, str]] = []

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; None: the connection is closed."""
        asked = dict(urllib.parse.parse_qsl(target.partition("?")[2], keep_blank_values=True))
        query = asked.pop("query", "")
        if query.startswith("-- lose "):
            self._lost = int(query[8:])
            return 200, {}, b""
        if query == "-- inserts":
            return 200, {}, b"\n".join(json.dumps(insert).encode() for insert in self._inserts)
        user = headers.get("authorization", "")
        if user and b64decode(user.removeprefix("Basic ")) != b"default:":
            text = b"Code: 516. DB::Exception: x: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
            return 403, {"X-ClickHouse-Exception-Code": "516"}, text
        parameters = {name[6:]: asked.pop(name) for name in [*asked] if name.startswith("param_")}
        if body and headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        is_insert = query.startswith("INSERT") and bool(parameters)
        if is_insert:
            self._inserts.append({**asked, **parameters})
            settings = ", ".join(f"{name}='{value}'" for name, value in asked.items())
            into, _, form = query.partition(" FORMAT ")
            query = f"{into} SETTINGS {settings} FORMAT {form} {body.decode()}"
        try:
            with self._lock:
                found = self._query(query, "JSONEachRow", **({"params": parameters} if parameters else {}))
                data = bytes(found.bytes()) if found is not None else b""
        except Exception as exc:  # noqa: BLE001 - whatever ClickHouse says is answered
            text = str(exc).encode()
            code = int(text.removeprefix(b"Code: ").partition(b".")[0]) if text.startswith(b"Code: ") else 1002
            return _STATUSES.get(code, 500), {"X-ClickHouse-Exception-Code": str(code)}, text
        if is_insert and self._lost:
            self._lost -= 1
            return None
        return 200, {"X-ClickHouse-Summary": "{}"}, data


def main() -> None:
    """Serves until standard input ends."""
    import chdb.session

    made: Any = chdb.session.Session  # it has no types
    session = made()
    server = _Server(session.query)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.answer(self.path, headers, body)
            if answer is None:
                self.close_connection = True
                return
            status, fields, data = answer
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        print(http.server_address[1], flush=True)
        sys.stdin.read()
        http.shutdown()
    session.close()


if __name__ == "__main__":
    main()
