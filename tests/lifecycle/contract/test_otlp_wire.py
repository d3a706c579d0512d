"""The walker over OTLP's requests: it counts what OpenTelemetry's own definitions find, and raises one error alone."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.otlp_wire import WireError, count, fields
from tests.sandbox.otlp import REQUESTS, as_json, from_protobuf

SIGNALS = sorted(REQUESTS)
KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

# A name's length decides how many bytes the lengths around it take.
TEXTS = st.text(max_size=6) | st.integers(0, 3).map(lambda power: "x" * 40**power)


def items_of(message: Any, signal: str) -> int:
    """How many spans, records or points OpenTelemetry's own message has."""
    if signal == "logs":
        return sum(len(scope.log_records) for resource in message.resource_logs for scope in resource.scope_logs)
    if signal == "traces":
        return sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)
    metrics = [m for resource in message.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
    return sum(len(getattr(m, m.WhichOneof("data")).data_points) for m in metrics if m.WhichOneof("data"))


@st.composite
def requests(draw: Any, signal: str) -> Any:
    """A request of a few resources, scopes and items."""
    message = REQUESTS[signal]()
    few, text = st.integers(0, 3), TEXTS
    for _ in range(draw(few)):
        resource = getattr(message, f"resource_{'spans' if signal == 'traces' else signal}").add(schema_url=draw(text))
        for _ in range(draw(few)):
            resource.resource.attributes.add(key=draw(text)).value.int_value = -1
        for _ in range(draw(few)):
            scope = getattr(resource, f"scope_{'spans' if signal == 'traces' else signal}").add(schema_url=draw(text))
            scope.scope.name = draw(text)
            for _ in range(draw(few)):
                _add_item(draw, scope, signal)
    return message


def _add_item(draw: Any, scope: Any, signal: str) -> None:
    if signal == "traces":
        scope.spans.add(name=draw(TEXTS), start_time_unix_nano=1)
    elif signal == "logs":
        scope.log_records.add(severity_text=draw(TEXTS), flags=1)
    else:
        metric = scope.metrics.add(name=draw(TEXTS))
        data = getattr(metric, draw(st.sampled_from(KINDS)))
        data.SetInParent()
        for _ in range(draw(st.integers(0, 3))):
            data.data_points.add(time_unix_nano=draw(st.integers(0, 9)))


@pytest.mark.parametrize("signal", SIGNALS)
def test_items_are_counted_as_the_definitions_have_them(signal: str) -> None:
    """In both encodings, whatever stands around them."""

    @given(requests(signal))
    @settings(max_examples=20, deadline=None)
    def holds(message: Any) -> None:
        expected = items_of(message, signal)
        assert count(signal, message.SerializeToString(), is_json=False) == expected
        assert count(signal, msgspec.json.encode(as_json(message)), is_json=True) == expected

    holds()


@pytest.mark.parametrize("signal", SIGNALS)
def test_damage_is_one_error_or_counted_as_the_definitions_count_it(signal: str) -> None:
    """Cut anywhere, or with any byte another one; what is in an item is not looked at."""

    @given(requests(signal), st.data())
    @settings(max_examples=20, deadline=None)
    def holds(message: Any, data: Any) -> None:
        damaged = bytearray(message.SerializeToString())
        if damaged and data.draw(st.booleans()):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        else:
            del damaged[data.draw(st.integers(0, len(damaged))) :]
        try:
            read = from_protobuf(signal, bytes(damaged))
        except DecodeError:
            read = None
        with contextlib.suppress(WireError):
            found = count(signal, bytes(damaged), is_json=False)
            # Of a metric with several kinds the last one counts: nobody writes that.
            assert read is None or signal == "metrics" or found == items_of(read, signal)

    holds()


@given(st.sampled_from(SIGNALS), st.binary(max_size=200), st.booleans())
def test_no_bytes_raise_anything_else(signal: str, body: bytes, is_json: bool) -> None:  # noqa: FBT001
    """Whatever they are."""
    with contextlib.suppress(WireError):
        count(signal, body, is_json=is_json)


@given(st.sampled_from(SIGNALS), st.text('{}[]":,0nresourceSpans\\ué', max_size=80))
def test_no_text_raises_anything_else(signal: str, text: str) -> None:
    """Likewise of what looks like JSON."""
    with contextlib.suppress(WireError):
        count(signal, text.encode(), is_json=True)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b'{"resourceSpans":{}}', b'{"resourceSpans":[{"scopeSpans":[{"spans":[1]}]}]}'),
        b'{"resourceSpans":%b%b}' % (b"[" * 5000, b"]" * 5000),
        b'{"a":%b%b}' % (b"[" * 500_000, b"]" * 500_000),
    ],
)
def test_what_is_no_request_in_json_is_said(body: bytes) -> None:
    """Nested without an end, too."""
    with pytest.raises(WireError):
        count("traces", body, is_json=True)


def test_more_objects_than_anybody_exports_are_not_read() -> None:
    """Each takes memory of its own while it is counted."""
    body = b'{"resourceSpans":[%b{}]}' % (b"{}," * 2**20)
    with pytest.raises(WireError, match="objects"):
        count("traces", body, is_json=True)


def within(*tags: int, content: bytes) -> bytes:
    """Bytes as the value of a field in a field …, the outermost first."""
    for tag in reversed(tags):
        content = (
            bytes((tag, *(len(content) >> bits & 0x7F | 0x80 for bits in (0, 7, 14)), len(content) >> 21)) + content
        )
    return content


@pytest.mark.parametrize(
    ("signal", "body", "what"),
    [
        ("traces", b"\x0a\x00" * 2**19, "fields"),
        ("traces", within(0x0A, content=b"\x12\x00" * 2**19), "fields"),
        ("traces", within(0x0A, 0x12, content=b"\x08\x00" * 2**19), "fields"),
        ("traces", within(0x0A, 0x12, content=b"\x12\x80\x80\x80\x00" * 2**19), "fields"),
        ("metrics", within(0x0A, 0x12, content=b"\x12\x02\x2a\x00" * 2**19), "fields"),
        ("logs", within(0x0A, 0x12, content=b"\x12\x00" * (2**20 + 1)), "items"),
        ("logs", within(0x0A, 0x12, content=b"\x12\x00" * (2**19 + 1)) * 2, "items"),
        ("metrics", within(0x0A, 0x12, 0x12, 0x2A, content=b"\x0a\x00" * (2**20 + 1)), "items"),
    ],
)
def test_more_fields_than_anybody_exports_are_not_walked(signal: str, body: bytes, what: str) -> None:
    """Nothing else is served meanwhile, and gzip makes a thousandth of them."""
    with pytest.raises(WireError, match=f"got more than [0-9]+ {what}"):
        count(signal, body, is_json=False)


def test_large_requests_of_what_sdks_export_are_counted() -> None:
    """4 MiB of spans with 50 attributes each, and of metrics with one point each; spans of a batch in JSON, too."""
    spans, metrics = REQUESTS["traces"](), REQUESTS["metrics"]()
    made = spans.resource_spans.add().scope_spans.add().spans
    span = made.add(name="GET /orders", trace_id=bytes(16), span_id=bytes(8), start_time_unix_nano=1)
    for number in range(50):
        span.attributes.add(key=f"attribute.{number}").value.string_value = "value"
    made.extend([span] * 511)
    assert count("traces", msgspec.json.encode(as_json(spans)), is_json=True) == 512
    made.extend([span] * 3_088)
    scope = metrics.resource_metrics.add().scope_metrics.add()
    metric = scope.metrics.add(name="http.server.request.duration", description="Of requests, in all", unit="s")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
    point = metric.sum.data_points.add(as_int=1, start_time_unix_nano=1, time_unix_nano=2)
    point.attributes.add(key="http.route").value.string_value = "/orders"
    scope.metrics.extend([metric] * 36_999)
    for signal, message, items in (("traces", spans, 3_600), ("metrics", metrics, 37_000)):
        body = message.SerializeToString()
        assert len(body) > 4 << 20
        assert count(signal, body, is_json=False) == items


def test_members_that_are_null_or_unknown_are_no_items() -> None:
    """Protobuf's JSON has null for what is not there."""
    assert count("traces", b'{"resourceSpans":null,"other":[{},{}]}', is_json=True) == 0
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":null},{"gauge":{"dataPoints":[{},{}]}}]}]}]}'
    assert count("metrics", body, is_json=True) == 2


def test_an_empty_message_is_a_request_of_nothing() -> None:
    """In protobuf it is; JSON has braces for that."""
    assert count("logs", b"", is_json=False) == 0
    assert count("logs", b"{}", is_json=True) == 0


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05a", b"\x0b\x0c", b"\xff" * 11, b"\x0a\x02\x12\x05", bytes(9)])
def test_what_is_no_message_is_said(body: bytes) -> None:
    """Cut, a group, a number without an end, a field that is longer than what it lies in or has no number."""
    with pytest.raises(WireError):
        count("traces", body, is_json=False)


def test_a_tag_may_be_written_in_more_bytes_than_it_needs() -> None:
    """Decoders take that (Protocol Buffers, "Encoding")."""
    assert count("traces", b"\x0a\x05\x12\x03\x92\x00\x00", is_json=False) == 1


def test_fields_say_where_they_begin_and_end() -> None:
    """Tag, beginning, value and end of each."""
    message = b"\x08\x96\x01\x12\x02hi\x39" + bytes(8) + b"\x45" + bytes(4)
    assert list(fields(message)) == [(0x08, 0, 1, 3), (0x12, 3, 5, 7), (0x39, 7, 8, 16), (0x45, 16, 17, 21)]
