"""Anything on a connection is answered or kept; what is kept leaves as valid JSON, and how it was cut is no matter."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.batch import read
from collector.http_parser import HEADER_LIMIT_BYTES
from lifecycle.contract.json_text import elements, with_valid_escapes
from tests.fuzz import pipeline, strategies

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(strategies.CONVERSATIONS, st.data())
def test_requests_are_answered_the_same_however_they_are_cut(sent: bytes, data: st.DataObject) -> None:
    """Valid, damaged, pipelined, sized or chunked."""
    said = pipeline.http([sent])
    if len(sent) < HEADER_LIMIT_BYTES:  # beyond it, where an endless header is noticed depends on the reads
        assert pipeline.http(data.draw(strategies.cut(sent))) == said
        assert pipeline.http(bytes((byte,)) for byte in sent) == said


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_a_conversation(sent: bytes) -> None:
    """Nothing is raised, whatever it is."""
    pipeline.http([sent])
    pipeline.tcp([sent])


@quick
@given(strategies.LINES, st.data())
def test_lines_are_kept_the_same_however_they_are_cut(sent: bytes, data: st.DataObject) -> None:
    """The same lines come through, whatever shares their read."""
    kept = _lines(pipeline.tcp([sent]))
    assert _lines(pipeline.tcp(data.draw(strategies.cut(sent)))) == kept
    assert _lines(pipeline.tcp(bytes((byte,)) for byte in sent)) == kept


def _lines(frames: list[bytes]) -> list[bytes]:
    """The lines less our own, which are kept only beside others."""
    # Lone surrogates are mended where the line could be read, or another of its frame could not.
    lines = [with_valid_escapes(line) for frame in frames for line in elements(frame)]
    return [line for line in lines if not read(b"[" + line + b"]").is_own]


@quick
@given(strategies.BATCHES)
@example(b"[" + b",".join(b"[" * n + b"]" * n for n in (1, 2000, 1)) + b"]")
@example(b'[{"time":"","type":"platform.start","record":{"droppedRecords":1e400,"requestId":1e400,"metrics":1e400}}]')
@example(b'[{"time":"","type":"platform.report","record":{"metrics":{"durationMs":1e400,"n":%b}}}]' % (b"9" * 5000))
def test_any_json_array_is_kept_and_shipped(body: bytes) -> None:
    """Whatever its elements are: unknown, nested, twice named, of numbers that no float holds."""
    assert pipeline.batch(body)[1] == 200


@quick
@given(strategies.damaged(strategies.BATCHES))
@example(b'[{"type":"extension","record":{"logger":"tailrace.x","\\ud800":1}}]')
@example(b'[{"type":"f","record":"\xed\xa0\x80"}]')
@example(b'[{"type":"f","type":"g","record":1,"record":2,"a":1,"a":2}]')
def test_what_is_kept_of_damaged_bodies_is_json(body: bytes) -> None:
    """Either refused, or as good as whole: another JSON reader agrees, both before and after the shipper."""
    pipeline.batch(body)


@pytest.mark.parametrize("kind", ["function", "extension", "platform.start"])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_records_of_any_depth_are_kept(kind: str, start: str, end: str) -> None:
    """Around where the interpreter stops to recurse as well; their neighbours too."""
    for depth in (*range(900, 1000, 3), 1500, 3000, 90_000):
        kept(start * depth + "1" + end * depth, kind)


def kept(record: str, kind: str) -> None:
    body = f'[{{"time":"t","type":"{kind}","record":{record}}},{{"time":"t","type":"function","record":"x"}}]'
    assert pipeline.batch(body.encode()) == (2, 200)
