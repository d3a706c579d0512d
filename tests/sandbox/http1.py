"""As much HTTP/1.1 as a local server needs, on asyncio streams: requests in, responses out, keep-alive.

Shared by the platform's APIs and by the destination. Knows no route and no fault.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# A header block larger than this is no client of ours.
HEAD_BYTES = 256 * 1024

# How a reader sees that its peer has gone, or is none.
_GONE = (asyncio.IncompleteReadError, ConnectionError, ValueError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One response; `drop` closes the connection instead of answering."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def json_answer(status: int, value: Any, **headers: str) -> Answer:
    """Build a JSON answer; `Lambda_Extension_Identifier=x` becomes a header with dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, body, {"Content-Type": "application/json", **named})


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request, its body included.

    Returns:
        None when the peer closed the connection before or inside a request.
    """
    head = await read_head(reader)
    return None if head is None else await with_body(reader, head)


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """Read one request as far as the empty line.

    Returns:
        None when the peer closed the connection before that.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
    except _GONE:
        return None
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, path, headers, b"")


async def with_body(reader: asyncio.StreamReader, head: Request) -> Request | None:
    """Read the body that a head announces.

    Returns:
        None when the peer closed the connection within it.
    """
    try:
        return replace(head, body=await _read_body(reader, head.headers))
    except _GONE:
        return None


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length") or 0)
        return await reader.readexactly(length) if length else b""
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(chunks)


async def write_answer(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Send one response with a length; a peer that has gone is not an error."""
    phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "Unknown"
    headers = {"Content-Length": str(len(answer.body)), **answer.headers}
    head = f"HTTP/1.1 {answer.status} {phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    try:
        writer.write(head.encode("latin-1") + b"\r\n" + answer.body)
        await writer.drain()
    except ConnectionError:
        pass


async def write_raw(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    """Send bytes as they are; a peer that has gone is not an error."""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
