"""A backend on loopback: takes OTLP/HTTP, protobuf and JSON, and NDJSON, remembers everything, misbehaves on request.

The hot path only keeps bytes; records are read when a test asks, so a heavy load costs little here.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from tests.sandbox import certificate, otlp, renegotiation
from tests.sandbox.backend_faults import Faults, Hang, Ok, Partial, Raw, Renegotiate, Reset, Slow, Status
from tests.sandbox.http1 import (
    HEAD_BYTES,
    Answer,
    Request,
    read_head,
    reset,
    with_body,
    write_answer,
    write_raw,
)
from tests.sandbox.loop_thread import LoopThread
from tests.sandbox.received import Received, ReceivedRequest, decompressed, records_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from tests.sandbox.backend_faults import Action


class Destination:
    """An embedded backend; a context manager.

    Args:
        tls: Serve HTTPS with a certificate made for this run; `ca_path` is what a client must trust.
        most_tls: The newest version of TLS it speaks.
        file: Append every record taken to this file, one JSON object per line.
        host: A loopback address.
        port: 0 for any free one.
        receive_bytes: What the kernel takes of a request before it is read; 0 for as much as it likes.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        most_tls: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
        file: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        receive_bytes: int = 0,
    ) -> None:
        self.faults = Faults()
        self.requests: list[ReceivedRequest] = []
        self._records: list[Received] = []
        self._read_requests = 0
        self._file = file
        self._news = threading.Condition()
        self._connections = 0
        self._open: set[asyncio.Task[None]] = set()
        self._left_alone_to = 0
        self._receive_bytes = receive_bytes
        self._server: asyncio.Server | None = None
        self._certificate = certificate.make() if tls else None
        self._most_tls = most_tls
        self._host = host
        self._port = port
        self._loop = LoopThread("destination")
        self._loop.call(self._listen())
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{host}:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ca_path(self) -> Path:
        """The certificate to trust.

        Raises:
            LookupError: This destination does not serve TLS.
        """
        if self._certificate is None:
            raise LookupError("got a destination without TLS, expected Destination(tls=True)")
        return self._certificate.certificate

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._connections

    def all_records(self) -> list[Received]:
        """Every record taken, of every signal, in the order of arrival."""
        with self._news:
            while self._read_requests < len(self.requests):
                index = self._read_requests
                request = self.requests[index]
                if request.stored:
                    self._records.extend(records_in(request, index))
                self._read_requests += 1
            return list(self._records)

    def records(self) -> list[Received]:
        """Every log record taken, copies included."""
        return [record for record in self.all_records() if record.signal in ("logs", "ndjson")]

    def spans(self) -> list[Received]:
        """Every span taken."""
        return [record for record in self.all_records() if record.signal == "traces"]

    def metrics(self) -> list[Received]:
        """Every metric taken."""
        return [record for record in self.all_records() if record.signal == "metrics"]

    def unique(self) -> list[Received]:
        """Every log record taken, the first copy of each uid only."""
        seen: set[str] = set()
        first = []
        for record in self.records():
            if record.uid is None or record.uid not in seen:
                first.append(record)
                seen.add(record.uid or "")
        return first

    def duplicates(self) -> dict[str, int]:
        """How often each uid came that came more than once."""
        counts = Counter(record.uid for record in self.records() if record.uid is not None)
        return {uid: count for uid, count in counts.items() if count > 1}

    def wait_for(
        self, count: int = 1, timeout_s: float = 5.0, matching: Callable[[Received], bool] | None = None
    ) -> list[Received]:
        """Wait until at least so many log records (that match) have come.

        Returns:
            Those records.

        Raises:
            TimeoutError: They did not come in time.
        """
        limit_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                found = [r for r in self.records() if matching is None or matching(r)]
                if len(found) >= count:
                    return found
                if not self._news.wait(max(0.0, limit_s - time.monotonic())):
                    raise TimeoutError(f"got {len(found)} records in {timeout_s} s, expected {count}")

    def refuse(self) -> None:
        """Close the listener and every connection: the next connect is refused."""
        self._loop.call(self._deafen())

    def accept(self) -> None:
        """Listen again, on the same port, unless it does."""
        self._loop.call(self._listen())

    def leave_alone(self) -> None:
        """Neither answer nor close any connection there is, as if the network had lost them; new ones are served."""
        self._left_alone_to = self._connections

    def hang_up(self) -> None:
        """Close every connection; the next connect is accepted."""
        self._loop.call(self._hang_up())

    def close(self) -> None:
        """Stop serving; what was received stays readable."""
        if not self._loop.loop.is_closed():
            self._loop.call(self._deafen())
            self._loop.close()
            if self._certificate is not None:
                self._certificate.remove()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.maximum_version = self._most_tls
            context.load_cert_chain(self._certificate.certificate, self._certificate.key)
        # What is accepted has the listener's buffers.
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        listener.bind((self._host, self._port))
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=HEAD_BYTES, ssl=context)
        self._port = listener.getsockname()[1]

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._hang_up()

    async def _hang_up(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
        try:
            while head := await read_head(reader):
                received_s = time.monotonic()
                early = self.faults.early_answer(float(head.headers.get("content-length", "inf")))
                if early is not None:
                    writer.transport.pause_reading()  # type: ignore[attr-defined]
                    await self._act(early, head, received_s, connection, writer)
                    await self._until_hung_up(writer)
                request = await with_body(reader, head)
                if request is None:
                    break
                if connection <= self._left_alone_to:
                    await asyncio.Event().wait()
                body = decompressed(request.body, request.headers) if self.faults.looks_inside else b""
                action = self.faults.next_action(request, body)
                await self._act(action, request, received_s, connection, writer)
        except asyncio.CancelledError:
            # It was hung up on.
            pass
        finally:
            if task is not None:
                self._open.discard(task)
            writer.close()

    @staticmethod
    async def _until_hung_up(writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            # A connection that is not read has no end that could be waited for.
            writer.transport.abort()

    async def _act(
        self,
        action: Action,
        request: Request,
        received_s: float,
        connection: int,
        writer: asyncio.StreamWriter,
    ) -> None:
        while isinstance(action, Slow):
            await asyncio.sleep(action.delay_s)
            action = action.then
        if isinstance(action, Renegotiate):
            renegotiation.ask(writer)
            action = Ok()
        answer: Answer | None = None
        stored, rejected = True, 0
        if isinstance(action, Ok):
            answer = otlp.answer(request.path, request.headers)
        elif isinstance(action, Partial):
            rejected = action.rejected
            answer = otlp.answer(request.path, request.headers, rejected, action.message)
            if action.gzipped:
                headers = {**answer.headers, "Content-Encoding": "gzip"}
                answer = replace(answer, body=gzip.compress(answer.body), headers=headers)
        elif isinstance(action, Status):
            stored = action.stores
            answer = Answer(action.code, action.body, action.headers)
        else:
            stored = action.store
        self._keep(
            ReceivedRequest(
                path=request.path,
                headers=request.headers,
                wire=request.body,
                connection=connection,
                received_s=received_s,
                stored=stored,
                status=answer.status if answer else None,
                rejected=rejected,
            )
        )
        if answer is not None:
            await write_answer(writer, answer)
        elif isinstance(action, Raw):
            await write_raw(writer, (action.data, *(action.more,) * action.times))
            if action.hangs_up:
                writer.close()
        elif isinstance(action, Hang):
            await asyncio.Event().wait()
        elif isinstance(action, Reset):
            reset(writer)

    def _keep(self, request: ReceivedRequest) -> None:
        with self._news:
            self.requests.append(request)
            self._news.notify_all()
        if self._file is not None and request.stored:
            lines = [
                msgspec.json.encode({"signal": r.signal, "body": r.body, "attributes": r.attributes})
                for r in records_in(request, len(self.requests) - 1)
            ]
            with self._file.open("ab") as file:
                file.write(b"".join(line + b"\n" for line in lines))
