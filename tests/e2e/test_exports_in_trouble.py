"""What the function itself exports, while all sorts of things go wrong: nothing is lost that there is room for."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.collector.test_otlp_intake import spans
from tests.e2e.conftest import NAME, Run, Start
from tests.e2e.test_otlp_intake import HANDLER, accepted, intake, named, request
from tests.sandbox.backend_faults import Action, Reset, Slow, Status

pytestmark = pytest.mark.e2e

__all__ = ["intake"]

INVOCATIONS, EXPORTS, SPANS = 10, 3, 4
COLLECTOR, SHIPPER = "tr-collector", "tr-shipper"

Trouble = Callable[[Run, int, random.Random], None]


def down(run: Run, number: int, dice: random.Random) -> None:
    """Nobody listens for half of the time."""
    del dice
    if number == 2:
        run.backend.refuse()
    if number == 7:
        run.backend.accept()


def slow(run: Run, number: int, dice: random.Random) -> None:
    """Each answer takes longer than any invocation is held."""
    del number, dice
    run.backend.faults.always(Slow(0.7))


def flapping(run: Run, number: int, dice: random.Random) -> None:
    """Some requests are too large, some come at a bad time, and the answers to some are lost."""
    del number
    troubles: list[Action] = [Status(503), Status(413), Reset(store=False)]
    run.backend.faults.script([dice.choice(troubles) for _ in range(2)])


def killing(run: Run, number: int, dice: random.Random) -> None:
    """A worker dies before the invocation, while all are frozen, or soon after it has begun."""
    comm = dice.choice([COLLECTOR, SHIPPER])

    def kill() -> None:
        with contextlib.suppress(LookupError):
            run.env.kill(NAME, comm, signal.SIGKILL)

    if number % 2:
        kill()
    else:
        threading.Timer(dice.uniform(0.002, 0.03), kill).start()


@pytest.mark.parametrize("trouble", [down, slow, flapping, killing])
def test_every_span_arrives_and_the_ledger_adds_up(start: Start, intake: dict[str, str], trouble: Trouble) -> None:
    """The environment is frozen between invocations, wherever things are; none but a killed worker's is sent twice."""
    dice = random.Random(trouble.__name__)
    run = start(handler=HANDLER, timeout_s=10.0, TAILRACE_REQUEST_TIMEOUT_MS="2000", **intake)
    expected = []
    for number in range(INVOCATIONS):
        trouble(run, number, dice)
        names = [f"{trouble.__name__} {number} {export}" for export in range(EXPORTS)]
        sent = [request("/v1/traces", spans(SPANS, name)) for name in names]
        told = run.invoke(requests=sent).payload
        assert [answer[0] for answer in told["answers"]] == [200] * EXPORTS
        expected += [f"{name} {at}" for name in names for at in range(SPANS)]
        time.sleep(dice.choice([0.0, 0.05]))
    run.backend.faults.clear()
    run.end()
    arrived = named(run, trouble.__name__)
    assert set(arrived) == set(expected)
    assert trouble is killing or set(arrived.values()) == {1}
    total = len(expected)
    assert accepted(run).get("traces") == {"accepted": total, "shipped": total}, run.lines()


def test_successor_is_started_before_anything_is_said_of_the_death(start: Start, intake: dict[str, str]) -> None:
    """Who exports meanwhile waits for the successor; the first line costs as much time as it needs to start."""
    run = start(handler=HANDLER, TAILRACE_FLUSH="end", **{**intake, "TAILRACE_LOG_LEVEL": "debug"})
    run.invoke(requests=[request("/v1/traces", spans(1, "before"))])
    run.env.kill(NAME, COLLECTOR, signal.SIGKILL)
    run.invoke(requests=[request("/v1/traces", spans(1, "after"))])
    run.end()
    said = [line["event"] for line in run.lines() if line.get("worker") == COLLECTOR.removeprefix("tr-")]
    told = [event for event in said if event in ("worker.started", "worker.exited")]
    assert told == ["worker.started", "worker.started", "worker.exited"]
