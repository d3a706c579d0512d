"""Lines on standard output."""

import os

from lifecycle.contract.log import LINE_START
from shipper.delivery.outcome import DONE, Verdict
from shipper.destinations.lines import Lines
from shipper.destinations.stdout import LOGGER, StdoutSender
from shipper.model.events import events, is_own
from tests.shipper.destinations.test_lines import lines_of
from tests.shipper.support import Waits, event, frame, request_of, settings_of


def test_stdout_lines_are_known_as_ours_when_they_come_back() -> None:
    """Else they would be shipped to standard output again, for ever."""
    line = lines_of(event("a\n"), Lines(settings_of(), LOGGER)).decode()
    assert line.startswith(LINE_START)
    (back,) = events(frame(event(line, "extension")))
    assert is_own(back)


def test_stdout_writes_whole_lines_in_pieces_that_do_not_mix() -> None:
    """Each write a pipe takes whole (PIPE_BUF), lines longer than that in several."""
    reader, writer = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)  # packets: a read is a write
    body = b"".join(b"x" * length + b"\n" for length in (1000, 3000, 90, 5000, 10))
    assert StdoutSender(Waits(), writer).send(request_of(body)) == DONE
    os.close(writer)
    packets = []
    while packet := os.read(reader, 10_000):
        packets.append(packet)
    os.close(reader)
    assert [len(packet) for packet in packets] == [1001 + 3001 + 91, 4096, 905 + 11]
    assert b"".join(packets) == body


def test_stdout_that_nobody_reads_is_tried_again_later() -> None:
    outcome = StdoutSender(Waits(lambda _fd, _events, _until: 0)).send(request_of(b"x\n"))
    assert (outcome.verdict, outcome.reason) == (Verdict.RETRY, "timeout")
