"""What is read of a batch without reading its records."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.batch import MOST_EVENTS, MOST_IDS_BYTES, MOST_LOST, BadBatchError, read
from lifecycle.contract import wire
from lifecycle.contract.log import LINE_START
from tests.collector.support import batch, event

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def done(request_id: Any) -> dict[str, Any]:
    """A runtimeDone."""
    return event({"requestId": request_id, "status": "success"}, "platform.runtimeDone")


def test_ids_of_finished_and_reported_requests_are_found_in_order() -> None:
    """RuntimeDone finishes a request, report reports it; other events do neither."""
    body = batch(done("a"), event(), event({"requestId": "a"}, "platform.report"), done("b"), event({"requestId": "c"}))
    envelope = read(body)
    assert (envelope.events, envelope.finished, envelope.reported) == (5, ("a", "b"), ("a",))
    assert (envelope.payload, envelope.is_own) == (body, False)


def test_a_type_written_with_escapes_is_the_same_type() -> None:
    """What counts is the value, not how it is written."""
    body = rb'[{"record":{"requestId":"\u0061"},"type":"platform.\u0072untimeDone"}]'
    assert read(body).finished == ("a",)


@pytest.mark.parametrize(
    "record", ["text", None, 7, [], {}, {"requestId": 7}, {"requestId": ""}, {"requestId": "x" * 65}]
)
def test_a_record_of_unexpected_shape_says_nothing(record: Any) -> None:
    """A runtimeDone without a usable id is kept and finishes nothing."""
    envelope = read(batch(event(record, "platform.runtimeDone"), event(record, "platform.logsDropped")))
    assert (envelope.events, envelope.finished, envelope.lost_events) == (2, (), 0)


def test_a_record_left_out_says_nothing() -> None:
    """An event may have no record at all."""
    body = b'[{"type":"platform.runtimeDone"},{"type":"platform.logsDropped"},{"type":"extension"}]'
    assert read(body).events == 3


def test_the_newest_ids_are_named_when_not_all_fit_a_packet() -> None:
    """However many and however long, the message stays a packet."""
    many = [f"{n:036}" for n in range(200)]
    assert read(batch(*map(done, many))).finished == tuple(many[-wire.MOST_IDS :])
    long = [f"{n:064}" for n in range(200)]
    records = [done(one) for one in long] + [event({"requestId": one}, "platform.report") for one in long]
    envelope = read(batch(*records))
    assert envelope.finished == tuple(long[-len(envelope.finished) :])
    assert sum(map(len, envelope.finished)) <= MOST_IDS_BYTES
    stored = wire.Stored(
        start=2**62, end=2**62, events=2**31, body_bytes=2**31, digest=bytes(8), finished=envelope.finished,
        reported=envelope.reported, lost_events=MOST_LOST, lost_bytes=MOST_LOST,
    )  # fmt: skip
    assert len(msgspec.msgpack.encode(stored)) < wire.PACKET_BYTES


@pytest.mark.parametrize(
    ("records", "size", "lost"),
    [
        (3, 100, (3, 100)),
        ("3", "100.0", (3, 100)),
        (3.0, None, (3, 0)),
        (-3, "many", (0, 0)),
        (True, [], (0, 0)),
        ("nan", "inf", (0, 0)),
        (2**63, 1e300, (MOST_LOST, MOST_LOST)),
    ],
)
def test_what_the_platform_dropped_is_summed(records: Any, size: Any, lost: tuple[int, int]) -> None:
    """Counts come as numbers or text; nonsense counts as nothing."""
    dropped = event({"droppedRecords": records, "droppedBytes": size, "reason": "…"}, "platform.logsDropped")
    envelope = read(batch(dropped, event()))
    assert (envelope.lost_events, envelope.lost_bytes) == lost


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"[]", 0), (b" [ ]\n", 0), (b'[1,null,"a",[],{}]', 5), (b'[{"type":7},{"type":null,"record":1}]', 2),
        (b'[{"type":"a","record":1e999}]', 1), (b'[{"type":"a","type":"b"}]', 1), ('[{"type":"ä€😀"}]'.encode(), 1),
        (b'[{"type":"a","record":' + b"[" * 200 + b"]" * 200 + b"}]", 1),
    ],
)  # fmt: skip
def test_every_json_array_is_kept(body: bytes, events: int) -> None:
    """Odd elements are events as well."""
    envelope = read(body)
    assert (envelope.events, envelope.payload) == (events, body)


def test_an_odd_element_does_not_hide_the_others() -> None:
    """The slow path finds what the fast one would have."""
    body = b"[7," + batch(done("a"))[1:]
    assert (read(body).events, read(body).finished) == (2, ("a",))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"), (b"{", "malformed"), (b"[", "malformed"), (b"[1,]", "malformed"), (b"[] x", "malformed"),
        (b"nul", "malformed"), (b"\xef\xbb\xbf[]", "malformed"), (b"[01]", "malformed"), (b"[NaN]", "malformed"),
        (b'["\x01"]', "malformed"), (rb'["\x"]', "malformed"), (b'[{"type":"a","record":"\xff"}]', "malformed"),
        (b'[{"type":"a","record":"\xed\xa0\x80"}]', "malformed"), (b'[{"type":"a","record":"\xc0\x80"}]', "malformed"),
        (b'[{"type":"a","record":"\xe2\x82', "malformed"), (b'[{"type":"a","record":"\xe2\x82"}]', "malformed"),
        (b"{}", "not_an_array"), (b"7", "not_an_array"), (b"null", "not_an_array"), (b'"[]"', "not_an_array"),
    ],
)  # fmt: skip
def test_what_is_not_a_json_array_is_refused(body: bytes, reason: str) -> None:
    """Also inside a record, which is otherwise skipped over: what passes can be split into records."""
    with pytest.raises(BadBatchError) as refused:
        read(body)
    assert refused.value.reason == reason


@pytest.mark.parametrize("body", [b"[" * 200_000 + b"]" * 200_000, b'[{"a":' * 200_000 + b"1" + b"}]" * 200_000])
def test_json_nested_beyond_reading_is_refused_and_nothing_crashes(body: bytes) -> None:
    """Deeper than the interpreter recurses: refused by its own name."""
    with pytest.raises(BadBatchError) as refused:
        read(body)
    assert refused.value.reason == "too_deep"


@pytest.mark.parametrize("deep", [b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_an_element_nested_beyond_reading_is_kept_with_the_others(deep: bytes) -> None:
    """A function may log what it was sent: the other lines of the batch are not to be lost for it."""
    end = b'{"type":"platform.runtimeDone","record":{"requestId":"r1"}}'
    body = b'[%b,{"type":"function","record":%b},"\\ud800",%b]' % (end, deep, end.replace(b"r1", b"r2"))
    found = read(body)
    assert (found.events, found.finished) == (4, ("r1", "r2"))
    assert found.payload == body.replace(b"\\ud800", b"\\ufffd")


@pytest.mark.parametrize("broken", [b"nul", b"{]", b'"\\x"', b"1 2"])
def test_a_broken_element_beside_a_deep_one_is_refused(broken: bytes) -> None:
    """What can be looked at must be JSON."""
    with pytest.raises(BadBatchError) as refused:
        read(b"[" + b"[" * 5000 + b"]" * 5000 + b"," + broken + b"]")
    assert refused.value.reason == "malformed"


@pytest.mark.parametrize("element", [b"1", b"{}", b'{"type":""}', b'["[],",2]'])
def test_more_events_than_the_platform_sends_are_refused_before_they_are_read(element: bytes) -> None:
    """One more than the limit; commas inside of them do not count."""
    assert read(b"[" + b",".join([element] * MOST_EVENTS) + b"]").events == MOST_EVENTS
    with pytest.raises(BadBatchError) as refused:
        read(b"[" + b",".join([element] * (MOST_EVENTS + 1)) + b"]")
    assert refused.value.reason == "too_many"
    assert read(b"[[" + b"1," * 2 * MOST_EVENTS + b"1]]").events == 1


def test_a_character_across_the_steps_of_the_check_is_whole() -> None:
    """UTF-8 is checked in steps; characters lie across them."""
    for shift in range(4):
        body = batch(event("x" * shift + "€" * 100_000)).decode("unicode_escape").encode()
        assert read(body).events == 1


def test_lone_surrogates_are_replaced_and_the_batch_is_kept() -> None:
    r"""A cut emoji costs its half, not the batch; the length stays, pairs and escaped backslashes as well."""
    body = rb'[{"type":"function","record":"\ud83d, \ude00\uD83D\uDE00 \\ud83d \ud83d\ud83d\ude00"}]'
    mended = rb'[{"type":"function","record":"\ufffd, \ufffd\uD83D\uDE00 \\ud83d \ufffd\ud83d\ude00"}]'
    assert read(body).payload == mended


own_text = LINE_START + 'collector","level":"debug"}\n'


@pytest.mark.parametrize(
    ("events", "is_own"),
    [
        ([event(own_text, "extension")], True),
        ([event(own_text, "extension"), event({"logger": "tailrace.shipper"}, "extension")], True),
        ([event(own_text, "extension"), event("other\n", "extension")], False),
        ([event(own_text, "function")], False),
        ([event("x" + own_text, "extension")], False),
        ([event({"logger": "mine", "x": "tailrace."}, "extension")], False),
        ([event("tailrace.", "extension"), event(["tailrace."], "extension")], False),
    ],
)
def test_only_a_batch_of_nothing_but_our_own_lines_is_our_own(events: list[dict[str, Any]], *, is_own: bool) -> None:
    """Text or object, but by an extension and from the line's beginning."""
    assert read(batch(*events)).is_own is is_own
    assert read(json.dumps(events, indent=1).encode()).is_own is is_own


@given(st.lists(anything, max_size=8))
def test_whatever_json_writes_is_read(elements: list[Any]) -> None:
    """Any array of any values, surrogates and all, is kept and its elements counted."""
    assert read(json.dumps(elements).encode("utf-8")).events == len(elements)


events_of = st.builds(
    lambda kind, record, other: {"time": "t", "type": kind, "record": record, **other},
    st.sampled_from(["function", "extension", "platform.report", "platform.new"]) | anything,
    st.just({"requestId": "1"}) | st.sampled_from([own_text, "x" + own_text, "line\n"]) | anything,
    st.dictionaries(st.text(max_size=3), anything, max_size=2),
)


@given(st.lists(events_of | anything, max_size=6))
def test_a_batch_that_is_only_counted_says_the_same(elements: list[Any]) -> None:
    """As one whose every event is looked at: no line of a function's is."""
    body = json.dumps(elements).encode()
    envelope = read(body)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("collector.batch._lines", msgspec.json.Decoder(int))
        assert read(body) == envelope


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"function","type":"platform.runtimeDone","record":{"requestId":"r"}}',
        b'{"record":{"requestId":"r"},"type":"platform.runtimeDone"}',
        b'{"t\\u0079pe":"plat\\u0066orm.runtimeDone","record":{"requestId":"r"}}',
    ],
)
def test_what_has_to_be_looked_into_is_found_however_it_is_written(event: bytes) -> None:
    """Among lines, and behind them."""
    line = b'{"time":"t","type":"function","record":"x"}'
    assert read(b"[%b,%b,%b]" % (line, event, line)).finished == ("r",)


def test_lines_that_speak_of_the_platform_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.batch._events", None)
    body = b'[{"type":"function","record":"platform.start \\u0041 extension"}]'
    assert read(body).events == 1


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """What passes is a JSON array for Python's own reader as well."""
    try:
        envelope = read(body)
    except BadBatchError:
        return
    assert len(json.loads(bytes(envelope.payload))) == envelope.events


@given(st.text(alphabet=r'\ud83e0 "a[]', max_size=30))
def test_mended_escapes_are_what_a_lenient_reader_reads(inner: str) -> None:
    """Wherever the escapes stand: the same text, lone halves replaced."""
    body = b'["' + inner.encode() + b'"]'
    try:
        expected = json.loads(body)
    except ValueError:
        return
    lenient = expected[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace") if len(expected) == 1 else None
    envelope = read(body)
    assert len(envelope.payload) == len(body)
    if lenient is not None and isinstance(expected[0], str):
        assert json.loads(bytes(envelope.payload)) == [lenient]


DONE = b'{"type":"platform.runtimeDone","record":{"requestId":"r1"},"time":"%b"}'
LINE = b'{"time":"2024-05-20T16:29:45.008Z","type":"function","record":"platform.runtimeDone"}'
MOMENT = 1_716_222_585.008


def finished_epoch_s(body: bytes) -> float:
    """When the function ended, as the batch says."""
    return read(body).finished_epoch_s


def test_the_last_end_of_a_batch_counts() -> None:
    """A replay may hold several."""
    early, late = DONE % b"2024-05-20T16:29:44.000Z", DONE % b"2024-05-20T16:29:45.008Z"
    assert finished_epoch_s(b"[%b,%b,%b]" % (LINE, early, late)) == pytest.approx(MOMENT)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"[%b]" % LINE,
        b"[%b]" % (DONE % b"yesterday"),
        b'[{"type":"platform.runtimeDone"}]',
        b'[{"type":"platform.runtimeDone","time":17}]',
        b'[{"type":"platform.runtimeDone","time":null},5]',
        b'[{"type":"platform.runtimeDone","time":' + b"[" * 900 + b"]" * 900 + b"}]",
    ],
)
def test_a_batch_that_does_not_say_says_nothing(body: bytes) -> None:
    """The age is then estimated."""
    assert finished_epoch_s(body) == 0.0
