"""A file of JSON lines, appended to."""

import errno
import os
import stat

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.lines import Lines, joined
from shipper.model.signals import LOGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.http import OnResponse
    from shipper.transport.interfaces import Timing


def create(settings: Settings, timing: "Timing", log: Log, on_response: "OnResponse | None" = None) -> Destination:
    """The destination of an address like file:/tmp/x; see `registry.create`."""
    del timing, log, on_response
    sender = FileSender(settings.destination.partition(":")[2])
    return Destination(Lines(settings), {LOGS: Endpoint(joined, sender)})


class FileSender:
    """Appends lines to a file, whose directories are made.

    A batch is one write. What a write leaves torn, at a full disk, is cut off again; what a killed process left
    torn is ended with a newline, so that it spoils no line but itself.

    Args:
        path: The file.
    """

    place = None
    secrets = ()
    is_ready = True

    def __init__(self, path: str) -> None:
        self.label = f"file:{path}"
        self._path = path
        self._fd = -1

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

    def warm(self) -> None:
        """There is nothing to load."""

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
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)

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
