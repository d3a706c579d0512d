"""The collector's process: what the supervisor calls in the forked child.

Nothing is kept here that another collector could not go on from: end, released offset and the digests of the
last batches come from the supervisor.
"""

from collections.abc import Iterable

from collector.server import Collector
from collector.timeouts import Patience
from lifecycle.contract.backlog import Backlog, Writer
from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings


def run(
    *,
    listener: int,
    commands: int,
    reports: int,
    backlog: Backlog,
    end: int,
    released: int,
    recent: Iterable[bytes],
    digest_key: bytes,
    settings: Settings,
    log: Log,
) -> None:
    """Collects until the command pipe is closed.

    Args:
        listener: Descriptor of a listening, non-blocking TCP socket; stays open.
        commands: Read end of the pipe that brings `wire.Released` and `wire.Restored`.
        reports: Write end of the pipe that takes `wire.Stored`, `wire.Repeated` and `wire.Refused`.
        backlog: Where batches are kept.
        end: Offset where the last reported frame ended.
        released: Everything before this offset may be written over.
        recent: Digests of the batches kept last, oldest first.
        digest_key: Key of the digests.
        settings: Limits and protocol.
        log: Where to write lines.
    """
    writer = Writer(backlog, end=end, released=released)
    Collector(
        listener, commands, reports, writer, settings, log, recent=recent, digest_key=digest_key, patience=Patience()
    ).run()
