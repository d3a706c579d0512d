"""A backend that is far away: on loopback every round trip takes some microseconds, and hides what each one costs."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.sandbox.destination import Destination

_PIECE_BYTES = 65_536


class Far(Destination):
    """An embedded backend whose `url` is that of a relay, which passes everything on a while later.

    Args:
        delay_s: How long what is sent takes, in either direction.
        tls: As for any backend.
    """

    def __init__(self, delay_s: float, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self._delay_s = delay_s
        self._near = int(self.url.rpartition(":")[2])
        self._relay = self._loop.call(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self.url = self.url.replace(f":{self._near}", f":{self._relay.sockets[0].getsockname()[1]}")

    def close(self) -> None:
        """Stop serving."""
        if not self._loop.loop.is_closed():
            self._loop.loop.call_soon_threadsafe(self._relay.close)
        super().close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, onward = await asyncio.open_connection("127.0.0.1", self._near)
        await asyncio.gather(self._later(reader, onward), self._later(answers, writer))

    async def _later(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Everything in the order in which it came, and then the end."""
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_PIECE_BYTES):
                loop.call_later(self._delay_s, partial(writer.write, data))
        except ConnectionError:
            pass
        loop.call_later(self._delay_s, writer.close)
