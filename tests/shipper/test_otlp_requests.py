"""Requests of the function's own SDK on their way out: passed, divided, judged, and written as records elsewhere."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lifecycle.contract.backlog import UnderWay
from lifecycle.contract.wire import Shipped
from shipper.delivery.batch import Batch, BatchLimits, Position
from shipper.destinations.lines import Lines as LineEncoder
from shipper.destinations.registry import create
from shipper.model.context import Context, Invocation
from shipper.model.signals import selected_by
from shipper.otlp_requests import Requests
from shipper.pipeline import Pipeline
from shipper.rules.rule_set import Rules
from tests.shipper.exports import TRACE_ID, Receiver, Stream, logs, points, spans, spans_in
from tests.shipper.support import REQUEST_ID, Lines, Server, Waits, event, http, settings_of, start
from tests.shipper.test_worker import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = {"TAILRACE_SIGNALS": "logs,traces,metrics", "TAILRACE_PLATFORM_LOGS": "0"}


@contextmanager
def supervised(stream: Stream, server: Server, **environ: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(stream.backlog, server.port, **{**EVERY, **environ})
    try:
        yield supervisor
    finally:
        supervisor.close()


def shipped(stream: Stream, server: Server, *, skip: int = 0, **environ: Any) -> list[Shipped]:
    """The reports of a shipment of all that there is."""
    with supervised(stream, server, **environ) as supervisor:
        supervisor.command(stream.end, skip=skip)
        return supervisor.reports_until(stream.end)


def counted(reports: list[Shipped]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Items delivered by signal, dropped by signal, and dropped by reason."""
    found: tuple[dict[str, int], ...] = ({}, {}, {})
    for report in reports:
        for counts, more in zip(found, (report.otlp_shipped, report.otlp_dropped, report.dropped), strict=True):
            for name, count in more.items():
                counts[name] = counts.get(name, 0) + count
    return found[0], found[1], found[2]


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_requests_leave_together_in_the_encoding_that_is_taken(server: Server, protocol: str) -> None:
    """However they came; one request of each signal, and what the extension knows of the resource added."""
    stream = Stream().request(spans("a", "b")).request(spans("c"), is_json=True).request(spans("d"), is_gzip=True)
    stream.request(points(1, 2, 3)).request(logs("x"), is_json=True, is_gzip=True)
    receiver = Receiver(server)
    environ: Any = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "AWS_LAMBDA_FUNCTION_NAME": "checkout"}
    reports = shipped(stream, server, **environ)
    assert counted(reports) == ({"traces": 4, "metrics": 3, "logs": 1}, {}, {})
    assert sum(report.events for report in reports) == 8
    assert receiver.requests == 3
    assert receiver.names() == ["a", "b", "c", "d"]
    for resource in receiver.taken["traces"][0].resource_spans:
        found = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
        assert (found["service.name"], found["faas.name"]) == ("theirs", "checkout")


def test_a_receiver_that_turns_out_to_take_json_alone_gets_json(server: Server) -> None:
    """What was made in protobuf is transcoded, with what the extension made; and what follows is made in JSON."""
    receiver = Receiver(server, lambda *_: http(200 if receiver.is_json else 415))
    report = event({"requestId": REQUEST_ID, "metrics": {"durationMs": 5.0}, "status": "success"}, "platform.report")
    stream = Stream().batch(start()).request(spans("a")).batch(report).request(spans("b"), is_json=True)
    assert counted(shipped(stream, server))[:2] == ({"traces": 2}, {})
    assert receiver.names() == ["a", "b"]


def test_requests_go_beside_what_the_extension_makes_itself(server: Server) -> None:
    """In the order in which they came, in the same request."""
    report = event({"requestId": REQUEST_ID, "metrics": {"durationMs": 5.0}, "status": "success"}, "platform.report")
    stream = Stream().batch(start(), event("one\n")).request(spans("a")).batch(report, event("two\n"))
    receiver = Receiver(server)
    assert counted(shipped(stream, server))[:2] == ({"traces": 1}, {})
    (message,) = receiver.taken["traces"]
    assert receiver.names() == ["a"]
    assert len(message.resource_spans) == 2
    assert receiver.requests >= 2


def test_a_request_that_is_too_large_is_divided_and_nothing_sent_twice(server: Server) -> None:
    """Between requests first, then within one."""
    stream = Stream().request(spans(*"abcdefgh")).request(spans("i"))
    receiver = Receiver(server, lambda _, message: http(413 if len(spans_in(message)) > 3 else 200))
    assert counted(shipped(stream, server)) == ({"traces": 9}, {}, {})
    assert receiver.names() == list("abcdefghi")


def test_one_item_that_is_refused_stands_alone_in_the_end(server: Server) -> None:
    """It is given up, and no other with it."""
    stream = Stream().request(spans(*"abcd", "bad", *"fgh")).request(spans("i", "j"))
    bad = lambda _, message: http(400 if "bad" in [span.name for span in spans_in(message)] else 200)  # noqa: E731
    receiver = Receiver(server, bad)
    reports = shipped(stream, server)
    assert counted(reports) == ({"traces": 9}, {"traces": 1}, {"refused": 1})
    assert sorted(receiver.names()) == list("abcdfghij")
    assert reports[-1].dropped_bytes or sum(sum(one.dropped_bytes.values()) for one in reports) > 0


def test_a_point_that_is_refused_stands_alone_too(server: Server) -> None:
    """Of a metric only what is refused is lost."""
    stream = Stream().request(points(*range(8)))

    def answer(_: str, message: Any) -> bytes:
        found = [
            point.as_int
            for one in message.resource_metrics
            for point in one.scope_metrics[0].metrics[0].sum.data_points
        ]
        return http(400 if 5 in found else 200)

    Receiver(server, answer)
    assert counted(shipped(stream, server)) == ({"metrics": 7}, {"metrics": 1}, {"refused": 1})


def test_a_replaced_shipper_repeats_nothing_that_was_taken_of_a_request(server: Server) -> None:
    """`skip` counts items in the order of the document."""
    stream = Stream().request(spans(*"abcdefgh"), is_json=True)
    taken: list[str] = []

    def answer(_: str, message: Any) -> bytes:
        names = [span.name for span in spans_in(message)]
        if len(names) > 4:
            return http(413)
        if taken:
            return http(503)
        taken.extend(names)
        return http(200)

    receiver = Receiver(server, answer)
    with supervised(stream, server) as supervisor:
        supervisor.command(stream.end, budget_s=0.5)
        report = supervisor.report()
    assert isinstance(report, Shipped)
    assert (report.through, report.skip, report.otlp_shipped) == (0, 4, {"traces": 4})
    second = Receiver(server)
    assert counted(shipped(stream, server, skip=report.skip)) == ({"traces": 4}, {}, {})
    assert [*receiver.names(), *second.names()] == list("abcdefgh")


def test_what_a_receiver_rejects_is_counted_by_signal(server: Server) -> None:
    """Partial success is no success of those, and is not tried again."""
    stream = Stream().request(spans(*"abcd"))
    Receiver(server, lambda *_: http(200, b"\x0a\x07\x08\x03\x12\x03why"))
    assert counted(shipped(stream, server)) == ({"traces": 1}, {"traces": 3}, {"rejected": 3})


def test_a_request_larger_than_a_batch_leaves_in_parts(server: Server) -> None:
    """As small as they can be, and must be."""
    names = ["x" * 3000 + str(at) for at in range(10)]
    stream = Stream().request(spans(*names))
    receiver = Receiver(server)
    assert counted(shipped(stream, server, TAILRACE_BATCH_BYTES="16384")) == ({"traces": 10}, {}, {})
    assert receiver.names() == names
    assert receiver.requests > 1


def test_an_empty_request_is_not_sent(server: Server) -> None:
    """There is nothing to wait for."""
    stream = Stream().request(spans(resource={})).raw("traces", b"")
    receiver = Receiver(server)
    assert counted(shipped(stream, server)) == ({}, {}, {})
    assert receiver.requests == 0


def test_a_signal_that_is_not_asked_for_is_dropped_by_that_name(server: Server) -> None:
    """It is a setting, and so no loss."""
    stream = Stream().request(spans("a", "b")).request(logs("x"))
    receiver = Receiver(server)
    found = counted(shipped(stream, server, TAILRACE_SIGNALS="logs"))
    assert found == ({"logs": 1}, {"traces": 2}, {"signals": 2})
    assert receiver.requests == 1


@pytest.mark.parametrize("body", [b"\x0a\x05a", b"{"])
def test_what_cannot_be_read_is_given_up_and_counted(server: Server, body: bytes) -> None:
    """It was read where it was taken; a request is not to stop all others."""
    stream = Stream().raw("traces", body, is_json=body == b"{", items=3).request(spans("a"))
    Receiver(server)
    assert counted(shipped(stream, server)) == ({"traces": 1}, {"traces": 3}, {"unmappable": 3})


def test_gzip_that_is_none_is_given_up_and_counted(server: Server) -> None:
    """Likewise."""
    stream = Stream().request(spans("a"), is_gzip=True)
    stream.backlog.memory[60] ^= 0xFF
    Receiver(server)
    assert counted(shipped(stream, server))[2] == {"unmappable": 1}


def lines_of(stream: Stream, context: Context | None = None, **environ: str) -> tuple[list[dict[str, Any]], Batch]:
    """What a destination of lines is sent."""
    settings = settings_of(TAILRACE_DESTINATION="stdout:", **environ)
    rules = Rules(settings, Lines().log) if environ else None
    pipeline = Pipeline(
        LineEncoder(settings), BatchLimits(10**6, 1000), Lines().log, selected_by(settings), None, rules
    )
    begin = Position(0, 0, context or Context())
    (batch,) = pipeline.batches(stream.backlog.frames(0, stream.end), begin)
    return [json.loads(line) for parcel in batch.parcels.values() for line in parcel.records], batch


def test_other_destinations_get_logs_and_spans_as_records() -> None:
    """With ids of their own, by which one that is sent twice is known."""
    stream = Stream().request(spans("charge", start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 5_000_000))
    stream.request(logs("hello", severity_number=17, time_unix_nano=10**18), is_json=True).request(points(1, 2))
    (span, log), batch = lines_of(stream)
    assert span["uid"] == "0000000000000000-0"
    assert log["uid"] == "0101010101010101-0"
    assert (span["type"], log["type"]) == ("span", "log")
    assert span["traceId"] == TRACE_ID.hex()
    assert span["record"]["name"] == "charge"
    assert span["record"]["duration_ms"] == 5.0
    assert log["record"] == {"severity": "ERROR", "body": "hello", "scope": "shop"}
    assert log["time"] == "2001-09-09T01:46:40.000000000Z"
    assert batch.tally_exported(0, batch.rows) == ({"traces": 1, "logs": 1}, {"metrics": 2})
    assert batch.tally(0, batch.rows) == (2, {"unsupported": 2})


def test_a_record_belongs_to_the_invocation_whose_trace_it_is_in() -> None:
    """Or to that which it names; a request neither reads nor moves what is running."""
    one = Invocation(request_id=REQUEST_ID, trace_id=TRACE_ID.hex())
    context = Context(request_id="other", trace_id="ff" * 16, open=(one,))
    (span,), batch = lines_of(Stream().request(spans("a")), context)
    assert span["requestId"] == REQUEST_ID
    assert batch.end.context is context
    named = spans("a")
    named.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="faas.invocation_id").value.string_value = "mine"
    assert lines_of(Stream().request(named), context)[0][0]["requestId"] == "mine"
    assert "requestId" not in lines_of(Stream().request(spans("a")))[0][0]


def test_rules_look_at_the_log_records_of_a_request(server: Server) -> None:
    """Level and patterns; what leaves is as it came."""
    message = logs("fine", "noise", severity_number=9)
    message.MergeFrom(logs("bad", severity_number=17))
    message.MergeFrom(logs("untold"))
    stream = Stream().request(message)
    receiver = Receiver(server)
    found = counted(
        shipped(stream, server, TAILRACE_MIN_LEVEL="info", TAILRACE_DROP="noise", TAILRACE_KEEP="fine|bad|noi")
    )
    assert found == ({"logs": 2}, {"logs": 2}, {"drop": 1, "keep": 1})
    taken = [
        scope
        for message in receiver.taken["logs"]
        for resource in message.resource_logs
        for scope in resource.scope_logs
    ]
    records = [record for scope in taken for record in scope.log_records]
    assert [record.body.string_value for record in records] == ["fine", "bad"]
    assert found[0] == {"logs": 2}


def test_levels_below_the_least_stay(server: Server) -> None:
    """By number or by name."""
    message = logs("a", severity_number=5)
    message.MergeFrom(logs("b", severity_text="Debug"))
    message.MergeFrom(logs("c", severity_text="Warning"))
    Receiver(server)
    found = counted(shipped(Stream().request(message), server, TAILRACE_MIN_LEVEL="warn"))
    assert found == ({"logs": 1}, {"logs": 2}, {"min_level": 2})


@pytest.mark.parametrize("is_json", [False, True])
def test_patterns_of_lines_leave_spans_and_points_alone(server: Server, is_json: bool) -> None:  # noqa: FBT001
    """They are no lines."""
    stream = Stream().request(spans("noise"), is_json=is_json).request(points(1), is_json=is_json)
    receiver = Receiver(server)
    found = counted(shipped(stream, server, TAILRACE_DROP="noise", TAILRACE_MIN_LEVEL="fatal"))
    assert found == ({"traces": 1, "metrics": 1}, {}, {})
    assert receiver.names() == ["noise"]


def test_spans_that_no_rule_looks_at_are_not_taken_apart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A least level is of lines: it costs what the function exports nothing."""
    monkeypatch.setattr(Requests, "_judged", None)
    receiver = Receiver(server)
    stream = Stream().request(spans("a", "b")).request(points(1))
    found = counted(shipped(stream, server, TAILRACE_MIN_LEVEL="warn", TAILRACE_DROP="noise"))
    assert found == ({"traces": 2, "metrics": 1}, {}, {})
    assert receiver.names() == ["a", "b"]


MAIL = "alice@example.com"


@pytest.mark.parametrize("is_json", [False, True])
def test_a_secret_leaves_in_no_part_of_a_request(server: Server, is_json: bool) -> None:  # noqa: FBT001
    """Bodies, attributes, names, events, links, resources; to whatever destination."""
    traced = spans(f"mail {MAIL}", resource={"owner": MAIL, MAIL: "x"})
    span = traced.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="to").value.string_value = MAIL
    span.attributes.add(key="nested").value.kvlist_value.values.add(
        key="a"
    ).value.array_value.values.add().string_value = MAIL
    span.events.add(name=MAIL).attributes.add(key=MAIL).value.string_value = MAIL
    span.links.add(trace_state=MAIL)
    span.status.message = MAIL
    metric = points(1)
    metric.resource_metrics[0].scope_metrics[0].metrics[0].description = MAIL
    metric.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].attributes.add(
        key="u"
    ).value.string_value = MAIL
    logged = logs(f"hello {MAIL}", severity_text=MAIL)
    stream = Stream().request(traced, is_json=is_json).request(metric, is_json=is_json).request(logged, is_json=is_json)
    receiver = Receiver(server)
    found = counted(shipped(stream, server, TAILRACE_REDACT=r"\S+@example\.com"))
    assert found == ({"traces": 1, "metrics": 1, "logs": 1}, {}, {})
    everything = repr(receiver.taken)
    assert MAIL not in everything
    assert "mail " in everything
    lines, _ = lines_of(stream, TAILRACE_REDACT=r"\S+@example\.com")
    assert len(lines) == 2
    assert MAIL not in repr(lines)


# Field 1000 of a message: what a proto that is newer than ours may bring.
NEWER = b"\xc2\x3e\x0cfrom 2030 on"


def with_newer_fields(message: Any) -> Any:
    """The same request, with a field that nobody knows in everything that is in it."""

    def add(one: Any) -> None:
        one.MergeFromString(NEWER)
        for field, value in one.ListFields():
            if field.message_type is not None:
                for found in [*value] if hasattr(value, "add") else [value]:
                    add(found)

    for resource in (*getattr(message, "resource_spans", ()), *getattr(message, "resource_logs", ())):
        add(resource)
    return message


def newer_fields(messages: list[Any]) -> int:
    """How many of these fields have arrived, but for those of resources and scopes, which may arrive several times."""
    scopes = [scope for message in messages for one in message.resource_spans for scope in one.scope_spans]
    return sum(span.SerializeToString().count(NEWER) for scope in scopes for span in scope.spans)


@pytest.mark.parametrize(
    "environ",
    [{}, {"TAILRACE_DROP": "noise"}, {"TAILRACE_SAMPLE": "0.5"}],
    ids=["as they came", "judged", "sampled"],
)
@pytest.mark.parametrize("most", [9, 2], ids=["together", "divided"])
def test_fields_that_are_newer_than_ours_pass_through(server: Server, environ: dict[str, Any], most: int) -> None:
    """From protobuf to protobuf, also where rules have looked at them and where 413 has divided them."""
    request = spans("a", "b", "c", "d")
    for span in spans_in(request):
        span.attributes.add(key="k").value.string_value = "v"
    stream = Stream().request(with_newer_fields(request)).request(with_newer_fields(logs("fine")), is_gzip=True)
    receiver = Receiver(server, lambda _, message: http(413 if _spans(message) > most else 200))
    assert counted(shipped(stream, server, **environ)) == ({"traces": 4, "logs": 1}, {}, {})
    assert newer_fields(receiver.taken["traces"]) == newer_fields([request]) == 4 * 3
    for message in receiver.taken["traces"]:
        found = message.resource_spans[0]
        for one in (found, found.resource, found.scope_spans[0], found.scope_spans[0].scope):
            assert NEWER in one.SerializeToString()
    assert receiver.taken["logs"][0].SerializeToString().count(NEWER) == 5


def _spans(message: Any) -> int:
    return len(spans_in(message)) if hasattr(message, "resource_spans") else 0


def test_fields_that_nobody_can_look_into_do_not_leave_where_something_is_redacted(server: Server) -> None:
    """Who could say that a secret is not in them? What the layer knows arrives."""
    receiver = Receiver(server)
    stream = Stream().request(with_newer_fields(spans("a", "b")))
    assert counted(shipped(stream, server, TAILRACE_REDACT="secret")) == ({"traces": 2}, {}, {})
    assert receiver.names() == ["a", "b"]
    assert newer_fields(receiver.taken["traces"]) == 0


@pytest.mark.parametrize(
    ("record", "dropped"),
    [
        ({"custom": 987654321, "secret": 1}, {}),
        ({"attributes": [{"key": "a", "value": {"stringValue": "x", "custom": 987654321}}]}, {}),
        ({"severityText": 987654321}, {"unmappable": 1}),
        ({"attributes": [{"key": "a", "value": {"stringValue": 987654321}}]}, {"unmappable": 1}),
        ({"traceId": "secret"}, {"unmappable": 1}),
    ],
    ids=["member", "of a value", "text", "value", "id"],
)
def test_json_that_is_not_as_otlp_has_it_is_not_looked_into(record: dict[str, Any], dropped: dict[str, int]) -> None:
    """Where something is redacted: members that it does not have are left out, and what is of another type is lost."""
    told = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "stays"}, **record}]}]}]}
    stream = Stream().raw("logs", json.dumps(told).encode(), is_json=True)
    environ = {"TAILRACE_DESTINATION": "otlp+http://localhost:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", **EVERY}
    settings = settings_of(TAILRACE_REDACT="secret;987654321", TAILRACE_COMPRESSION="none", **environ)
    destination, rules = create(settings, Waits(), Lines().log), Rules(settings, Lines().log)
    limits, selection = BatchLimits(10**6, 1000), selected_by(settings)
    pipeline = Pipeline(destination.encoder, limits, Lines().log, selection, destination.shapes, rules)
    (batch,) = pipeline.batches(stream.backlog.frames(0, stream.end), Position(0))
    bodies = [destination.endpoints[signal].build(one.records).body for signal, one in batch.parcels.items()]
    lines, _ = lines_of(stream, TAILRACE_REDACT="secret;987654321")
    assert batch.tally(0, batch.rows)[1] == dropped
    assert len(bodies) == len(lines) == (0 if dropped else 1)
    sent = [*bodies, json.dumps(lines).encode()]
    assert not [body for body in sent if b"secret" in body or b"987654321" in body]


def test_sampling_goes_by_the_invocation_that_is_named(server: Server) -> None:
    """Or whose trace it is in; what belongs to none leaves."""
    named = spans("sampled out", "too")
    for span in named.resource_spans[0].scope_spans[0].spans:
        span.trace_id = bytes(16)
        span.attributes.add(key="faas.invocation_id").value.string_value = REQUEST_ID
    named.resource_spans[0].scope_spans[0].spans.add(name="stays", trace_id=b"x" * 16)
    done = event({"requestId": REQUEST_ID, "status": "success"}, "platform.runtimeDone")
    report = event({"requestId": REQUEST_ID, "metrics": {}, "status": "success"}, "platform.report")
    stream = Stream().batch(start(), event("line\n")).request(named).batch(done, report)
    receiver = Receiver(server)
    found = counted(shipped(stream, server, TAILRACE_SAMPLE="0"))
    assert found[:2] == ({"traces": 1}, {"traces": 2})
    assert found[2]["sample"] >= 2
    assert receiver.names() == ["stays"]


def test_what_cannot_be_judged_yet_waits(server: Server) -> None:
    """Until the invocation's end is told."""
    named = spans("a")
    named.resource_spans[0].scope_spans[0].spans[0].attributes.add(
        key="faas.invocation_id"
    ).value.string_value = REQUEST_ID
    stream = Stream().batch(start()).request(spans("b")).request(named)
    Receiver(server)
    with supervised(stream, server, TAILRACE_SAMPLE="0") as supervisor:
        supervisor.command(stream.end)
        reports = [supervisor.report()]
        while not (isinstance(reports[-1], Shipped) and reports[-1].waits):
            reports.append(supervisor.report())
        assert isinstance(reports[-1], Shipped)
        assert (reports[-1].through, reports[-1].skip) == (stream.ends[1], 0)


def test_what_is_exported_after_the_end_of_its_invocation_waits_for_nothing(server: Server) -> None:
    """As a batch processor does it, once the next invocation lets it."""
    late = spans("late")
    late.resource_spans[0].scope_spans[0].spans[0].attributes.add(
        key="faas.invocation_id"
    ).value.string_value = REQUEST_ID
    report = event({"requestId": REQUEST_ID, "metrics": {}, "status": "success"}, "platform.report")
    stream = Stream().batch(start(), report).request(late)
    Receiver(server)
    with supervised(stream, server, TAILRACE_SAMPLE="0") as supervisor:
        supervisor.command(stream.ends[0])
        supervisor.reports_until(stream.ends[0])
        supervisor.command(stream.end, since=stream.ends[0])
        assert counted(supervisor.reports_until(stream.end))[2]["sample"] == 1


def test_an_invocations_id_is_not_redacted(server: Server) -> None:
    """It is what its telemetry is found by; but in a function's own text it is."""
    named = spans(REQUEST_ID)
    (span,) = named.resource_spans[0].scope_spans[0].spans
    span.attributes.add(key="faas.invocation_id").value.string_value = REQUEST_ID
    receiver = Receiver(server)
    shipped(Stream().request(named), server, TAILRACE_REDACT="[0-9a-f-]{36}")
    (span,) = spans_in(receiver.taken["traces"][0])
    assert span.attributes[0].value.string_value == REQUEST_ID
    assert REQUEST_ID not in span.name


def test_what_cannot_be_redacted_is_given_up_and_counted(server: Server) -> None:
    """An item alone where it is one's, and all of it where the redaction itself cannot be read."""
    stream = Stream().request(spans("fine", "too", "a" * 5000 + "!"))
    receiver = Receiver(server)
    found = counted(shipped(stream, server, TAILRACE_REDACT=r"(a|a)*$"))
    assert found == ({"traces": 2}, {"traces": 1}, {"unredactable": 1})
    assert [name[:3] for name in receiver.names()] == ["fin", "too"]


def test_where_a_redaction_cannot_be_read_nothing_leaves() -> None:
    """Of no signal; it is counted."""
    stream = Stream().request(spans("a")).request(logs("x")).request(points(1))
    lines, batch = lines_of(stream, TAILRACE_REDACT="(((")
    assert lines == []
    assert batch.tally(0, batch.rows) == (0, {"unredactable": 3})


def test_a_text_with_too_much_in_it_to_be_seen_is_blanked_and_counted(server: Server) -> None:
    """JSON in strings, deeper than anybody nests it."""
    text = "x"
    for _ in range(7):
        text = json.dumps({"a": text})
    Receiver(server)
    reports = shipped(Stream().request(logs(text, "fine")), server, TAILRACE_REDACT="email")
    assert sum(report.unredactable for report in reports) == 1
    assert counted(reports)[0] == {"logs": 2}


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_memory_for_a_large_request_is_bounded_by_its_size(protocol: str) -> None:
    """Whether it is passed or transcoded: decoded at once it would be ten times as much."""
    names = [f"span {number} " + "x" * 300 for number in range(2000)]
    stream = Stream().request(spans(*names), is_gzip=True)
    settings = settings_of(
        TAILRACE_DESTINATION="otlp+http://localhost:1",
        TAILRACE_SIGNALS="traces",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        TAILRACE_BATCH_BYTES="65536",
    )
    destination = create(settings, Waits(), Lines().log)
    limits, selection = BatchLimits(settings.batch_bytes, 1000), selected_by(settings)
    pipeline = Pipeline(destination.encoder, limits, Lines().log, selection, destination.shapes)
    made = list(pipeline.batches(stream.backlog.frames(0, stream.end), Position(0)))
    assert sum(sum(batch.weights.values()) for batch in made) == 2000
    del made
    tracemalloc.start()
    try:
        for batch in pipeline.batches(stream.backlog.frames(0, stream.end), Position(0)):
            del batch
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2000 * 340


def test_a_request_that_shippers_died_of_is_given_up_and_said() -> None:
    """Once is nothing: a shipper may be killed wherever it is. The request after it is passed."""
    stream = Stream().request(spans("a", "b")).request(spans("c"))
    settings = settings_of(TAILRACE_DESTINATION="stdout:")
    said, under_way = Lines("error"), UnderWay()
    encoder, limits, selection = LineEncoder(settings), BatchLimits(10**6, 1000), selected_by(settings)
    for deaths in range(3):
        pipeline = Pipeline(encoder, limits, said.log, selection, None, None, under_way)
        (batch,) = pipeline.batches(stream.backlog.frames(0, stream.end), Position(0))
        assert batch.tally(0, batch.rows) == ((1, {"unmappable": 2}) if deaths == 2 else (3, {}))
        under_way.enter(0, 0)
    (line,) = said.written
    assert (line["event"], line["error"], line["items"]) == ("shipper.export_unmappable", "deadly", 2)
