"""What a log comes to."""

import pytest

from tests.tools.timeline.logs import handled, life, line
from tools.timeline.answers import answers
from tools.timeline.life import Life, lives
from tools.timeline.lines import found


def told(lines: list[str]) -> Life:
    """The only life that these lines tell of."""
    (only,) = lives(found(lines))
    return only


def test_invocations_holds_and_the_pauses_between_are_spans_of_the_function() -> None:
    """An invocation ended when its end was told, less that news' age."""
    only = told(life(2))
    assert [(span.label, round(span.ms)) for span in only.of("invocation")] == [("r0", 100), ("r1", 100)]
    assert [(span.label, round(span.ms)) for span in only.of("held")] == [("delivered", 80)] * 2
    assert [round(span.ms) for span in only.of("frozen")] == [820]


def test_a_batch_is_followed_from_stored_to_acknowledged() -> None:
    only = told(life(2))
    assert [(round(span.ms), span.facts["end"]) for span in only.of("batch")] == [(70, 100), (70, 200)]
    assert [(span.label, round(span.ms)) for span in only.of("answered")] == [("200", 57)] * 2
    assert [span.lane for span in only.of("shipped")] == ["shipper"] * 2
    assert max(waiting for _, waiting in only.fill) == 100


def test_what_never_arrived_and_what_was_never_answered_lasts_to_the_end() -> None:
    lines = [one for one in life(1) if not any(word in one for word in ("OffsetCommitted", "answer_received"))]
    only = told(lines)
    assert [span.until for span in only.of("waiting")] == [only.until]
    assert [span.label for span in only.of("failed")] == ["no answer"]


def test_an_invocation_whose_end_is_never_told_lasts_until_the_next() -> None:
    only = told([handled(0, "Invoked", request_id="a"), handled(500, "Invoked", request_id="b")])
    assert [(span.label, span.ms) for span in only.of("invocation")] == [("a", 500), ("b", 0)]


def test_each_environment_has_a_life_of_its_own() -> None:
    """They are told apart by the supervisor's process."""
    later = [one.replace("12:00:0", "12:01:0") for one in life(2, pid=77)]
    assert [len(one.of("invocation")) for one in lives(found([*life(1), *later]))] == [1, 2]


def test_questions_are_answered_from_the_log() -> None:
    said = answers(told(life(3)))
    assert said["Where was time lost?"][:2] == [
        "Functions were held for 240 ms in all, in 3 of 3 invocations.",
        "The longest hold was 80 ms, of r0; it ended so: delivered.",
    ]
    assert said["What was held, and why?"] == ["3 × 80 ms on average, which ended so: delivered."]
    assert said["What was late?"] == [
        "Of 3 batches half arrived within 70 ms of being stored, the last after 70 ms; 0 took longer than 1.00 s."
    ]
    assert said["What was lost?"] == [
        "Of 15 records accepted, 12 were shipped.",
        "1 were still waiting at the end: deadline.",
        "2 were dropped: too large.",
    ]


def test_at_warning_it_shows_what_it_can() -> None:
    """Troubles, their ends and the ledger."""
    only = told(
        [
            line(0, "shipper", "shipper.delivery_failing", "warning", destination="http://b", reason="connect"),
            line(10, "lifecycle", "breaker.opened", "warning", reason="connect", held_in_vain_ms=900.0),
            line(90, "shipper", "shipper.delivery_recovered", "warning", failing_ms=90.0),
            line(99, "lifecycle", "lifecycle.ended", "warning", accepted=4, shipped=4, held_ms=900.0),
        ]
    )
    assert not only.is_detailed
    assert [(moment.kind, moment.lane) for moment in only.moments] == [
        ("trouble", "shipper"),
        ("trouble", "supervisor"),
        ("recovery", "shipper"),
    ]
    said = answers(only)
    assert said["Where was time lost?"] == [
        "Functions were held for 900 ms in all.",
        "900 ms were held for nothing before the breaker opened: connect.",
    ]
    assert said["What was lost?"] == ["Of 4 records accepted, 4 were shipped.", "Nothing was lost."]
    assert "TAILRACE_LOG_LEVEL=debug" in said["What was held, and why?"][0]


@pytest.mark.parametrize("count", range(len(life(1)) - 1))
def test_a_log_that_breaks_off_anywhere_is_told_as_far_as_it_goes(count: int) -> None:
    only = told(life(1)[: count + 1])
    assert answers(only)["What was lost?"][0].startswith("The log has no last line")


def test_an_answer_is_that_of_its_own_signals_request() -> None:
    """Whichever comes first; what is said of a failure afterwards ends no other request."""
    said = [
        line(10, "shipper", "shipper.request_begun", signal="logs"),
        line(11, "shipper", "shipper.request_begun", signal="traces"),
        line(20, "shipper", "shipper.answer_received", signal="traces", status=503),
        line(21, "shipper", "shipper.request_failed", signal="traces", reason="status_503"),
        line(40, "shipper", "shipper.answer_received", signal="logs", status=200),
    ]
    requests = [span for span in told(said).spans if span.lane == "backend"]
    assert [(span.label, round(span.ms)) for span in requests] == [("503", 9), ("200", 30)]


def test_a_shipment_lasted_as_long_as_its_end_says_and_ended_so() -> None:
    """Delivered, or stalled, and then why."""
    said = [
        line(10, "shipper", "shipper.shipment_ended", took_ms=8.0),
        line(30, "shipper", "shipper.shipment_stalled", reason="connect"),
        line(31, "shipper", "shipper.shipment_ended", took_ms=11.0),
    ]
    shipments = [span for span in told(said).spans if span.lane == "shipper"]
    assert [(span.kind, span.label, round(span.ms)) for span in shipments] == [
        ("shipped", "delivered", 8),
        ("stalled", "connect", 11),
    ]


def test_what_was_lost_is_told_of_each_route() -> None:
    """Where there are several, the ledger is each one's own."""
    routes = {"default": {"shipped": 4}, "archive": {"shipped": 3, "waiting": 0, "dropped": {"refused": 1}}}
    said = [line(99, "lifecycle", "lifecycle.ended", "warning", accepted=4, routes=routes)]
    assert answers(told(said))["What was lost?"] == [
        "Route default: of 4 records accepted, 4 were shipped.",
        "Route archive: of 4 records accepted, 3 were shipped.",
        "1 were dropped: refused.",
    ]


def test_a_batch_has_arrived_when_the_last_route_has_it() -> None:
    said = [
        *(line(1, "lifecycle", "worker.started", worker=worker) for worker in ("shipper", "shipper-archive")),
        line(10, "collector", "collector.batch_stored", start=0, end=100, events=5),
        handled(20, "OffsetCommitted", through=100, worker="shipper"),
        handled(70, "OffsetCommitted", through=100, worker="shipper-archive"),
    ]
    assert [round(span.ms) for span in told(said).of("batch")] == [60]
