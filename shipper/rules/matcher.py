r"""Runs users' patterns over long texts in a process of its own, which the kernel ends when one takes too long.

Python's `re` looks for signals now and then within one try to match, and not between two: `\d+,` goes through 256 KB
of digits for seconds, and nothing in this process can stop it. So a text for which that may matter goes to a child. A
timer of its own CPU time ends the child, whatever it is at; the next such text gets another one. It is forked with the
first, and it knows no more than the patterns: it keeps no descriptor but its two pipes, and ends when they are closed.
"""

import os
import struct

from lifecycle.contract.quick import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Number of the pattern, what is asked, and how many bytes of text follow; of an answer, whether and how many.
_REQUEST = struct.Struct("<IBQ")
_ANSWER = struct.Struct("<BQ")

SEARCH, REDACT = range(2)

# Descriptors 0 to 2 are the process's own.
_FIRST_FD = 3


class MatcherDiedError(Exception):
    """The child was ended, or cannot be had."""


class Matcher:
    """The child, forked when it is needed.

    Args:
        patterns: By their numbers, those there are when it is forked: `search`, `sub` and `replacement` of each.
        most_s: CPU seconds that it may take for one text.
    """

    def __init__(self, patterns: "list[Any]", most_s: float) -> None:
        self._patterns = patterns
        self._most_s = most_s
        self._pid = 0
        self._requests = self._answers = -1

    def is_found(self, number: int, text: str) -> bool:
        """Whether a pattern is found in a text.

        Raises:
            MatcherDiedError: That took too long.
        """
        return bool(self._asked(number, SEARCH, text)[0])

    def redacted(self, number: int, text: str) -> str:
        """A text with every match of a pattern replaced.

        Raises:
            MatcherDiedError: That took too long.
        """
        return self._asked(number, REDACT, text)[1].decode("utf-8", "surrogatepass")

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child; the next text gets another one."""
        for fd in (self._requests, self._answers):
            if fd >= 0:
                os.close(fd)
        self._requests = self._answers = -1
        if self._pid:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0

    def _asked(self, number: int, what: int, text: str) -> tuple[int, bytes]:
        data = text.encode("utf-8", "surrogatepass")
        try:
            if not self._pid:
                self._fork()
            _write(self._requests, _REQUEST.pack(number, what, len(data)))
            _write(self._requests, data)
            is_found, size = _ANSWER.unpack(_read(self._answers, _ANSWER.size))
            return is_found, _read(self._answers, size)
        except (OSError, EOFError) as exc:
            self.close()
            raise MatcherDiedError from exc

    def _fork(self) -> None:
        theirs_in, self._requests = os.pipe()
        self._answers, theirs_out = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            with suppress(BaseException):
                self._serve(theirs_in, theirs_out)
            os._exit(0)
        os.close(theirs_in)
        os.close(theirs_out)

    def _serve(self, requests: int, answers: int) -> None:
        """The child's life."""
        import _signal  # type: ignore[import-not-found]

        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - nothing is loaded for it
            if int(name) >= _FIRST_FD and int(name) not in (requests, answers):
                with suppress(OSError):
                    os.close(int(name))
        _signal.signal(_signal.SIGVTALRM, _signal.SIG_DFL)
        timer = _signal.setitimer
        while True:
            number, what, size = _REQUEST.unpack(_read(requests, _REQUEST.size))
            text = _read(requests, size).decode("utf-8", "surrogatepass")
            pattern = self._patterns[number]
            timer(_signal.ITIMER_VIRTUAL, self._most_s)
            found, after = False, ""
            if what == SEARCH:
                found = pattern.search(text) is not None
            else:
                after = pattern.sub(pattern.replacement, text)
            timer(_signal.ITIMER_VIRTUAL, 0)
            data = after.encode("utf-8", "surrogatepass")
            _write(answers, _ANSWER.pack(found, len(data)))
            _write(answers, data)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd: int, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: There are not as many.
    """
    pieces = []
    while size:
        piece = os.read(fd, min(size, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
