"""What a cell came to, and how it compares with what is required."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import msgspec

from lifecycle.ledger import INTENDED
from tests.demo.ledgers import FIRST, Ledger, ledgers, summed
from tests.faults.cell import ANY, BUDGET_MS, LATE_MS, NAME, OVER_BUDGET_MS, SHUTDOWN_MS, Required
from tests.sandbox import Destination, Environment, InvokeResult

OK, TOO_MANY = 200, 429

# Of a hold, what passes before the extension knows that the function has returned, and after it has asked for more.
UNSEEN_MS = 20.0

# Two holds in vain show that a destination takes nothing: of fewer invocations they are too large a part.
LEAST_FOR_MEDIAN = 5

# Of an environment whose end takes longer, it is a matter of time what was left to ship.
NEAR_ITS_END_MS = 1500.0

# Says nothing to anybody who did not ask for it.
DEBUG = '"level":"debug"'


class Late(str):
    """A problem that is one of time alone: a machine that has other things to do may be why."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of a cell; counts are telemetry events.

    Attributes:
        emitted: The platform had for us.
        kept: Of those, what the platform still had at the end: never handed over to us.
        dropped: What it dropped itself, likewise.
        delivered: Arrived at the backend, each counted once.
        lost: Handed over and not arrived; what arrived and was not acknowledged to the platform is not set off.
        missing_lines: Lines of the function that were handed over and are not at the backend, by their text.
        copies: Arrivals beyond the first of a uid.
        strays: Lines that arrived under two uids: copies nobody can recognise.
        held_ms: Of each invocation, without how long its processes were ready and had no processor.
        soonest_s: Shortest time from an answer 429 to the next request.
        exits: Exit code and milliseconds of each environment's end.
        ledger: Of all environments together.
        ledgers: How many said one.
        late: Invocations that ended before their lines had arrived.
        spanless: Invocations that succeeded and whose span did not arrive.
        acknowledged: Requests that the backend answered well.
        in_time: Those among them that it took, and answered before SHUTDOWN.
        peak_mb: Memory of all processes together.
        unexported: Spans that the function exported and was told were taken, and that are not at the backend.
        answered_ms: Of each export, how long the function waited for its answer, as far as it had a processor.
    """

    emitted: int
    kept: int
    dropped: int
    delivered: int
    lost: int
    missing_lines: int
    copies: int
    strays: int
    statuses: list[str]
    held_ms: list[float]
    soonest_s: float
    exits: list[tuple[int | None, float]]
    orphans: int
    kills: int
    requests: int
    ledger: Ledger
    ledgers: int
    took_s: float
    late: list[int]
    spanless: int
    acknowledged: int
    in_time: int
    peak_mb: float
    unexported: int
    answered_ms: list[float]

    @property
    def p50_ms(self) -> float:
        """Median of all invocations."""
        return statistics.median(self.held_ms)

    @property
    def late_p50_ms(self) -> float:
        """Median of the second half of the invocations."""
        return statistics.median(self.held_ms[len(self.held_ms) // 2 :])

    @property
    def exit_ms(self) -> float:
        """The slowest end."""
        return max(ms for _, ms in self.exits)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        figures = asdict(self)
        figures["ledger"] = msgspec.to_builtins(self.ledger)
        return {**figures, "p50_ms": self.p50_ms, "late_p50_ms": self.late_p50_ms, "exit_ms": self.exit_ms}


def measured(
    env: Environment,
    backend: Destination,
    results: list[InvokeResult],
    *,
    starved_ms: Sequence[float],
    kills: int,
    took_s: float,
    by_lines: bool = False,
    late: Sequence[int] = (),
    in_time: int = 0,
    peak_mb: float = 0.0,
    route: str = FIRST,
) -> Measured:
    """Reads everything off an environment that has ended, as far as it is about one route and its backend."""
    stats = env.telemetry(NAME)
    arrived = backend.records()
    unique = len(backend.unique())
    uids: dict[str, set[str | None]] = {}
    for record in arrived:
        # With what ended the line, where its shipper died at it and it was shipped as it came.
        uids.setdefault(str(record.body).rstrip("\n"), set()).add(record.uid)
    handed_over = Counter(_lines(stats.acknowledged))
    missing_lines = sum(line not in uids for line in handed_over)
    if by_lines:
        lost = max(missing_lines, sum(b'"type":"function"' in text for text in stats.acknowledged) - unique)
    else:
        lost = max(0, len(stats.acknowledged) - unique)
    spans = {span.attributes.get("faas.invocation_id") for span in backend.spans()}
    parts = ledgers(env.printed(NAME), route)
    ends = [*env.resets, *([env.ending] if env.ending else [])]
    # An environment that was reset by its last invocation and never begun again has nobody to end.
    exits = [end.extensions[NAME] for end in ends if NAME in end.extensions]
    told = [result.payload for result in results if isinstance(result.payload, dict)]
    exported = {name for one in told for name in one.get("exported", ())}
    return Measured(
        emitted=len(stats.emitted),
        kept=stats.waiting_events,
        dropped=stats.dropped_events + stats.refused_events,
        delivered=unique,
        lost=lost,
        missing_lines=missing_lines,
        copies=len(arrived) - unique,
        strays=sum(len(uids.get(line, ())) > count for line, count in handed_over.items()),
        statuses=[result.status for result in results],
        held_ms=[
            # Of a worker that was killed meanwhile it is not known any more.
            max(0.0, result.held_ms - max(0.0, starved))
            for result, starved in zip(results, starved_ms, strict=True)
        ],
        soonest_s=min(_pauses(backend), default=math.inf),
        exits=[(ending.exit_code, ending.exit_ms) for ending in exits],
        orphans=sum(len(end.orphans) for end in ends),
        kills=kills,
        requests=len(backend.requests),
        ledger=summed(parts),
        ledgers=len(parts),
        took_s=took_s,
        late=list(late),
        spanless=sum(result.ok and result.request_id not in spans for result in results),
        acknowledged=sum(request.status == OK for request in backend.requests),
        in_time=in_time,
        peak_mb=peak_mb,
        unexported=len(exported - {str(span.body) for span in backend.spans()}),
        answered_ms=[ms for one in told for ms in one.get("answered_ms", ())],
    )


def _lines(events: Iterable[bytes]) -> Iterable[str]:
    for text in events:
        event = msgspec.json.decode(text)
        # A line of JSON becomes a record whose body is not the line.
        if event["type"] == "function" and isinstance(event["record"], str) and not event["record"].startswith("{"):
            yield event["record"].rstrip("\n")


def _pauses(backend: Destination) -> Iterable[float]:
    for request, following in pairwise(backend.requests):
        if request.status == TOO_MANY:
            yield following.received_s - request.received_s


def is_of_time(found: Sequence[str], got: Measured) -> bool:
    """Whether all that was found may be no more than the machine's having other things to do."""
    return bool(found) and (got.exit_ms > NEAR_ITS_END_MS or all(isinstance(problem, Late) for problem in found))


def problems(required: Required, got: Measured, printed: Sequence[str]) -> list[str]:
    """Where a cell falls short; nothing when it does not."""
    return [
        *record_problems(required, got),
        *ledger_problems(required, got),
        *_of_exports(required, got),
        *_of_invocations(required, got),
        *_of_holds(required, got),
        *endings(got),
        *_of_words(required, printed),
    ]


def record_problems(required: Required, got: Measured) -> Iterable[str]:
    """What is missing, or came too often."""
    if required.lost is not None and got.lost != required.lost:
        yield f"{got.lost} lost, expected {required.lost}"
    if required.most_lost is not None and got.lost > required.most_lost:
        yield f"{got.lost} lost, expected no more than {required.most_lost}"
    if required.lost == 0 and got.missing_lines:
        yield f"{got.missing_lines} lines are nowhere to be found"
    if got.kept and not required.platform_keeps:
        yield f"the platform still has {got.kept} events"
    if bool(got.dropped) is not required.platform_drops:
        yield f"the platform dropped {got.dropped} events"
    if got.ledger.lost_by_platform != got.dropped:
        yield f"ledger: {got.ledger.lost_by_platform} lost by the platform, expected {got.dropped}"
    if got.strays and not required.is_lost_before_us:
        yield f"{got.strays} lines arrived under two uids"
    if required.most_copies is not None and got.copies > required.most_copies:
        yield f"{got.copies} copies, expected no more than {required.most_copies}"
    if required.has_spans and got.spanless:
        yield f"{got.spanless} invocations without a span"
    if required.resent is not None and bool(got.copies) is not required.resent:
        yield f"{got.copies} copies, expected {'some' if required.resent else 'none'}"


def _of_exports(required: Required, got: Measured) -> Iterable[str]:
    if got.unexported:
        yield f"{got.unexported} exported spans are nowhere to be found"
    if required.answered_p50_ms is not None and statistics.median(got.answered_ms) > required.answered_p50_ms:
        got_ms = statistics.median(got.answered_ms)
        yield Late(
            f"exports answered after {got_ms:.1f} ms in the median, expected {required.answered_p50_ms:g} at most"
        )
    if required.answered_ms is not None and max(got.answered_ms) > required.answered_ms:
        yield Late(f"an export answered after {max(got.answered_ms):.0f} ms, expected {required.answered_ms:g} at most")


def ledger_problems(required: Required, got: Measured) -> Iterable[str]:
    """Where the extension's own count is not what happened."""
    ledger = got.ledger
    if got.ledgers != len(got.exits):
        yield f"{got.ledgers} ledger lines of {len(got.exits)} environments"
    handed_over = got.emitted - got.kept - got.dropped + ledger.exported
    given_up = ledger.waiting + sum(ledger.dropped.values())
    if required.is_lost_before_us or required.platform_keeps:
        if ledger.accepted - given_up != got.delivered:
            yield f"ledger: accepted {ledger.accepted}, gave up {given_up}, but {got.delivered} arrived"
    elif ledger.accepted != handed_over:
        yield f"ledger: accepted {ledger.accepted}, but {handed_over} were handed over"
    if ledger.accepted != ledger.shipped + given_up:
        yield f"ledger: {ledger.accepted} accepted are not {ledger.shipped} shipped and {given_up} given up"
    if required.waits and (given_up < got.lost if required.may_have_arrived else given_up != got.lost):
        yield f"ledger: {given_up} waiting or dropped, but {got.lost} lost"
    if not required.waits and ledger.waiting:
        yield f"ledger: {ledger.waiting} waiting"
    dropped = {reason: count for reason, count in ledger.dropped.items() if reason not in INTENDED}
    dropped = {reason: ANY if required.dropped.get(reason) == ANY else count for reason, count in dropped.items()}
    if not required.waits and dropped != dict(required.dropped):
        yield f"ledger: dropped {dropped}, expected {dict(required.dropped)}"
    yield from _of_the_ledger_itself(got)


def _of_the_ledger_itself(got: Measured) -> Iterable[str]:
    """Where its counts contradict one another, or what the backend saw."""
    ledger = got.ledger
    if ledger.shipped and not got.acknowledged:
        yield f"ledger: {ledger.shipped} shipped, but the backend acknowledged nothing"
    if got.acknowledged and not ledger.requests:
        yield f"ledger: no requests, but the backend answered {got.acknowledged}"
    least_held_ms = sum(got.held_ms) - UNSEEN_MS * len(got.held_ms)
    if ledger.held_ms < least_held_ms:
        yield Late(f"ledger: held {ledger.held_ms:.0f} ms in all, but it was {sum(got.held_ms):.0f}")
    if ledger.waiting != sum(ledger.left.values()):
        yield f"ledger: {ledger.waiting} waiting, but {ledger.left} left"
    if any(not ledger.dropped_bytes.get(reason) for reason in ledger.dropped):
        yield f"ledger: dropped {ledger.dropped}, but bytes {ledger.dropped_bytes}"
    if bool(ledger.lost_by_platform) is not bool(ledger.lost_by_platform_bytes):
        yield f"ledger: {ledger.lost_by_platform_bytes} bytes in {ledger.lost_by_platform} lost by the platform"


def _of_invocations(required: Required, got: Measured) -> Iterable[str]:
    for number, status in enumerate(got.statuses):
        if (status != "success") is not (number in required.failing):
            yield (Late if status == "timeout" else str)(f"invocation {number}: {status}")
    if got.soonest_s < required.retry_after_s:
        yield f"a request {got.soonest_s:.2f} s after an answer that asked for {required.retry_after_s:g} s"
    if got.ledger.retried and not required.retried:
        yield f"{got.ledger.retried} requests repeated"
    late = [] if required.prompt_from is None else [number for number in got.late if number >= required.prompt_from]
    if late:
        yield Late(f"{len(late)} invocations ended before their lines had arrived: {late}")
    if got.peak_mb > required.memory_mb:
        yield f"{got.peak_mb:.1f} MB of memory, expected no more than {required.memory_mb:g}"
    if got.kills < required.kills:
        yield f"{got.kills} kills, expected {required.kills}"


def _of_holds(required: Required, got: Measured) -> Iterable[str]:
    limit_ms = BUDGET_MS + OVER_BUDGET_MS
    for number, ms in enumerate(got.held_ms):
        if ms > limit_ms and number not in required.unending:
            yield Late(f"invocation {number}: held {ms:.0f} ms, expected no more than {limit_ms:.0f}")
    if required.p50_ms is not None and got.p50_ms > required.p50_ms:
        yield Late(f"held {got.p50_ms:.1f} ms in the median, expected no more than {required.p50_ms:g}")
    if not got.in_time and len(got.held_ms) >= LEAST_FOR_MEDIAN and got.p50_ms > LATE_MS:
        yield Late(
            f"held {got.p50_ms:.1f} ms in the median for a backend that takes nothing, expected {LATE_MS:g} at most"
        )
    if required.late_p50_ms is not None and got.late_p50_ms > required.late_p50_ms:
        yield Late(f"held {got.late_p50_ms:.1f} ms in the late median, expected no more than {required.late_p50_ms:g}")


def endings(got: Measured) -> Iterable[str]:
    """How environments ended that should have ended otherwise."""
    for code, ms in got.exits:
        if code != 0:
            yield f"exit {code}"
        if ms > SHUTDOWN_MS:
            yield Late(f"shutdown took {ms:.0f} ms, expected no more than {SHUTDOWN_MS:.0f}")
    if got.orphans:
        yield f"{got.orphans} processes left behind"


def _of_words(required: Required, printed: Sequence[str]) -> Iterable[str]:
    for text in required.says:
        count = sum(text in line and DEBUG not in line for line in printed)
        if count != 1:
            yield f"{text!r} stands in {count} lines, expected 1"
    for text in required.unsaid:
        lines = [line for line in printed if text in line]
        if lines:
            yield f"{text!r} was not to be said: {lines[0].strip()[:300]}"
