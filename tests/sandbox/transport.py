"""How a telemetry batch reaches an extension: one POST of a JSON array, or JSON lines over TCP."""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
# The environment's own names; only they may stand in a destination.
HOSTS = ("sandbox.localdomain", "sandbox")


class Transport(Protocol):
    """Delivers one batch."""

    async def send(self, batch: list[bytes]) -> int:
        """Deliver a batch.

        Returns:
            The status answered; 200 where the protocol knows none.

        Raises:
            OSError: The peer could not be reached or went away.
            EOFError: The peer closed the connection before it answered.
        """

    def close(self) -> None:
        """Give up the connection."""


class _Connected:
    """A connection that is dialled when needed and dialled again after it failed."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.reader is None or self.writer is None or self.writer.is_closing() or self.reader.at_eof():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self.reader, self.writer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class HttpTransport(_Connected):
    """POST with keep-alive, as the platform's own client does, unless it is to dial anew each time."""

    def __init__(self, uri: str, *, chunked: bool = False, dials_anew: bool = False) -> None:
        parts = urlsplit(uri)
        super().__init__(mapped(parts.hostname or LOOPBACK), parts.port or 80)
        self._authority = parts.netloc
        self._path = parts.path or "/"
        self._chunked = chunked
        self._dials_anew = dials_anew

    async def send(self, batch: list[bytes]) -> int:
        """Post the batch as one JSON array and read the status."""
        body = b"[" + b",".join(batch) + b"]"
        if self._dials_anew:
            self.close()
        try:
            reader, writer = await self.connect()
            writer.write(self._head(len(body)))
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if self._chunked else body)
            await writer.drain()
            return await self._status(reader)
        except BaseException:
            self.close()
            raise

    def _head(self, length: int) -> bytes:
        framing = "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {length}"
        return (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._authority}\r\nUser-Agent: Go-http-client/1.1\r\n"
            f"{framing}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
        ).encode()

    async def _status(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length") or 0)
        await reader.readexactly(length)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split()[1])


class TcpTransport(_Connected):
    """One JSON object and a newline per event; nothing is acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(LOOPBACK, port)

    async def send(self, batch: list[bytes]) -> int:
        """Write the batch's lines."""
        try:
            _, writer = await self.connect()
            writer.write(b"\n".join(batch) + b"\n")
            await writer.drain()
        except BaseException:
            self.close()
            raise
        return 200


def mapped(host: str) -> str:
    """Map the environment's own name to the loopback address it has on a laptop."""
    return LOOPBACK if host in HOSTS else host
