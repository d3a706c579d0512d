"""A file of JSON lines, appended to."""

import errno
import os
import stat
from collections.abc import Sequence

from shipper.delivery.interfaces import NO_LIMITS, Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.lines import Lines
from shipper.model.signals import LOGS


class File:
    """Appends lines to a file, whose directories are made.

    A batch is one write. What a write leaves torn, at a full disk, is cut off again; what a killed process left
    torn is ended with a newline, so that it spoils no line but itself.

    Args:
        path: The file.
        lines: Writes events.
    """

    shapes = None
    limits = NO_LIMITS

    def __init__(self, path: str, lines: Lines) -> None:
        self.label = f"file:{path}"
        self.encoder = lines
        self._path = path
        self._fd = -1

    @property
    def endpoints(self) -> "dict[str, File]":
        """Lines are all that is written here."""
        return {LOGS: self}

    def build(self, items: Sequence[bytes], key: str = "") -> Request:
        """The lines."""
        del key
        body = b"".join(items)
        return Request(body=body, body_bytes=len(body))

    def send(self, request: Request) -> Outcome:
        """Appends the lines; all of them or none."""
        try:
            if self._fd < 0:
                self._fd = self._opened()
            self._append(request.body)
        except OSError as exc:
            self.close()  # a file moved away or a volume mounted anew is found by opening it again
            name = errno.errorcode.get(exc.errno or 0, "error").lower()
            return Outcome(verdict=Verdict.RETRY, reason=f"file_{name}", detail=str(exc.strerror))
        return DONE

    def begin(self, request: Request, within_s: float) -> None:
        """Nothing is gained by it."""

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _opened(self) -> int:
        folder = os.path.dirname(self._path)  # noqa: PTH120 - pathlib is not imported here
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - likewise
        # Not blocking: a FIFO nobody reads must not hold the shipper.
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)

    def _append(self, body: bytes) -> None:
        status = os.fstat(self._fd)
        if status.st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        is_regular = stat.S_ISREG(status.st_mode)
        if is_regular and status.st_size and os.pread(self._fd, 1, status.st_size - 1) != b"\n":
            body = b"\n" + body
        written = 0
        try:
            while written < len(body):
                written += os.write(self._fd, memoryview(body)[written:])
        except OSError:
            # Cut off only what is ours: somebody else may have appended meanwhile.
            if is_regular and written and os.fstat(self._fd).st_size == status.st_size + written:
                os.ftruncate(self._fd, status.st_size)
            raise
