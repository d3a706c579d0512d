"""What a process prints, cut into lines as they come: a pipe's reading end on the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 64 * 1024
_PIPE_BYTES, _SMALL_PIPE_BYTES = 64 * 1024, 4096


class Output:
    """Reads a pipe to its end; every line, newline included, goes to a callback and is kept."""

    def __init__(self, on_line: Callable[[str], None], line_bytes: int) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_fd, False)
        self.lines: list[str] = []
        self._on_line = on_line
        self._line_bytes = line_bytes
        self._is_deaf = False
        self._rest = b""
        self._closed = False
        asyncio.get_running_loop().add_reader(self.read_fd, self._readable)

    def started(self) -> None:
        """The process has its end: close ours."""
        os.close(self.write_fd)
        self.write_fd = -1

    def drain(self) -> None:
        """Take what is in the pipe now, so that what was printed before an API call is seen before it."""
        while not self._closed and not self._is_deaf and self._readable():
            pass

    def ignore(self) -> None:
        """Read nothing more: the pipe, which is made as small as one can be, fills up and stays full."""
        self._is_deaf = True
        fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, _SMALL_PIPE_BYTES)
        asyncio.get_running_loop().remove_reader(self.read_fd)

    def heed(self) -> None:
        """Read again."""
        self._is_deaf = False
        fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        asyncio.get_running_loop().add_reader(self.read_fd, self._readable)

    def close(self) -> None:
        """Take what is left and close the pipe, whoever else still holds it."""
        self._is_deaf = False
        self.drain()
        self._finish()

    def _readable(self) -> bool:
        try:
            chunk = os.read(self.read_fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._finish()
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line + b"\n")
        while len(self._rest) > self._line_bytes:
            self._line(self._rest[: self._line_bytes])
            self._rest = self._rest[self._line_bytes :]
        return True

    def _finish(self) -> None:
        if self._closed:
            return
        self._closed = True
        asyncio.get_running_loop().remove_reader(self.read_fd)
        os.close(self.read_fd)
        if self.write_fd >= 0:
            os.close(self.write_fd)
        if self._rest:
            self._line(self._rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self.lines.append(text)
        self._on_line(text)
