"""A delivery with everything around it standing still, as the tests of delivery share it."""

from collections.abc import Callable, Iterator

from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.delivery.delivery import Delivery
from shipper.delivery.outcome import DONE, Outcome, Verdict
from tests.shipper.support import Inbox, Lines, Timing

UNAVAILABLE = Outcome(verdict=Verdict.RETRY, reason="status_503")
TIMEOUT = Outcome(verdict=Verdict.RETRY, reason="timeout")
REFUSED = Outcome(verdict=Verdict.REFUSED, reason="status_400")
TOO_LARGE = Outcome(verdict=Verdict.SPLIT, reason="status_413")
UNAUTHORISED = Outcome(verdict=Verdict.HELD, reason="unauthorised")


def batch_of(*records: bytes) -> Batch:
    batch = Batch()
    batch.mark(Position(0))
    for record in records:
        batch.add("logs", record)
        batch.rows += 1
    batch.end = Position(1000)
    return batch


class Scene:
    """A delivery with everything around it standing still."""

    def __init__(self, answer: Callable[[list[bytes]], Outcome], budget_s: float = 10.0, level: str = "info") -> None:
        self.inbox = Inbox(answer)
        self.timing = Timing(budget_s)
        self.lines = Lines(level)
        self.limits = BatchLimits(1_000_000, 1000)
        self.settled: list[int] = []
        self.delivery = Delivery(
            self.inbox,
            self.timing,
            self.limits,
            base_s=0.05,
            most_s=5.0,
            log=self.lines.log,
            jitter=lambda: 0.5,
            clock=self.timing,
        )

    def deliver(self, batch: Batch) -> None:
        """Delivers a batch and notes how far it got each time."""
        self.delivery.begin_shipment()
        self.delivery.deliver([batch], lambda batch: self.settled.append(batch.floor()))


def answering(most: int, poison: bytes, *, aside: bytes = b"") -> Callable[[list[bytes]], Outcome]:
    """Takes no more letters at once, and none of some; records that are `aside` always, and counts them not."""

    def answer(records: list[bytes]) -> Outcome:
        letters = b"".join(record for record in records if record != aside)
        if any(letter in poison for letter in letters):
            return REFUSED
        return TOO_LARGE if len(letters) > most else DONE

    return answer


def in_turn(*outcomes: Outcome) -> Callable[[list[bytes]], Outcome]:
    """These answers, then DONE for ever."""
    left: Iterator[Outcome] = iter(outcomes)
    return lambda _records: next(left, DONE)
