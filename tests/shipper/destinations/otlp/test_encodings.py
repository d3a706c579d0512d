"""Which encoding an endpoint takes: found out once, and nothing is lost or sent twice on the way there."""

import gzip
from collections.abc import Callable

import msgspec
import pytest

from lifecycle.contract.schemes import JSON, PROTOBUF
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.http import Place
from shipper.destinations.otlp.encodings import Encodings, Form, Negotiation
from shipper.destinations.otlp.protobuf_logs import LogRecords
from shipper.model.log_record import LogRecord, Origin, Records
from shipper.transport import address
from tests.sandbox.otlp import decoded, from_json, from_protobuf, without_nulls
from tests.shipper.destinations.otlp.test_protobuf_logs import EVENT
from tests.shipper.support import Lines

ALL = [Form(PROTOBUF, True), Form(JSON, True), Form(PROTOBUF, False), Form(JSON, False)]
VARIABLE = "OTEL_EXPORTER_OTLP_PROTOCOL"

REFUSED = Outcome(verdict=Verdict.REFUSED, reason="status_400")
UNSUPPORTED = Outcome(verdict=Verdict.HELD, reason="status_415")
BUSY = Outcome(verdict=Verdict.RETRY, reason="status_503")


def form_of(request: Request) -> str:
    """How a request says that it is written."""
    headers = dict(request.headers)
    encoding = {"application/x-protobuf": PROTOBUF, "application/json": JSON}[headers["Content-Type"]]
    return f"{encoding}, {headers.get('Content-Encoding', 'uncompressed')}"


class Receiver:
    """A sender that answers as told, by the form of the request and its lines."""

    label = "http://h/v1/logs"
    place = None
    secrets = ()
    is_ready = True

    def __init__(self, answer: Callable[[str, list[str]], Outcome]) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.taken: list[str] = []

    def send(self, request: Request) -> Outcome:
        """Answers as told."""
        form = form_of(request)
        body = gzip.decompress(request.body) if "gzip" in form else request.body
        scopes = decoded("logs", body)["resourceLogs"][0]["scopeLogs"]
        lines = [record["body"]["stringValue"] for scope in scopes for record in scope["logRecords"]]
        assert body.startswith(b"{") == form.startswith(JSON)
        self.asked.append(form)
        outcome = self.answer(form, lines)
        if outcome is DONE:
            self.taken += lines
        return outcome

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome]:
        """Sends when the answer is waited for."""
        del within_s
        return lambda: self.send(request)

    def warm(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to let go of."""


class Case:
    """A negotiation with a receiver that answers as told."""

    def __init__(self, answer: Callable[[str, list[str]], Outcome], forms: list[Form] | None = None) -> None:
        self.receiver = Receiver(answer)
        self.lines = Lines()
        place = Place(address=address.parse("http://h/v1/logs"), headers={}, is_compressed=True, timeout_s=1)
        self.negotiation = Negotiation(
            "logs",
            forms or ALL,
            place,
            Encodings({"service.name": "f"}),
            self.receiver,
            self.lines.log,
            variable=VARIABLE,
        )

    def items(self, *lines: str) -> list[bytes]:
        """Lines as they are written now; every third is a logger's."""
        encoder = self.negotiation.encoding.logs
        return [
            encoder.log(
                LogRecord(
                    EVENT,
                    n,
                    Origin(batch_id="00"),
                    msgspec.json.encode(line),
                    time_ns=n,
                    attributes=(("n", b"null"),),
                    scope="a" if n % 3 == 2 else "",
                )
            )
            for n, line in enumerate(lines)
        ]

    def send(self, *lines: str) -> Outcome:
        """Builds a request and sends it."""
        return self.negotiation.send(self.negotiation.build(self.items(*lines)))


def only(encoding: str, other: Outcome) -> Callable[[str, list[str]], Outcome]:
    return lambda form, _lines: DONE if encoding in form else other


@pytest.mark.parametrize("other", [REFUSED, UNSUPPORTED])
@pytest.mark.parametrize(
    ("encoding", "asked"),
    [
        (PROTOBUF, [0]),
        (JSON, [0, 1]),
        ("uncompressed", [0, 1, 2]),
        ("http/json, uncompressed", [0, 1, 2, 3]),
    ],
)
def test_what_the_receiver_takes_is_found_and_kept(encoding: str, asked: list[int], other: Outcome) -> None:
    """Each form is asked for once, with all that waits; what is taken is said, with the setting that spares asking."""
    case = Case(only(encoding, other))
    outcome = case.send("a", "b", "c")
    assert (outcome.verdict, len(outcome.repeats)) == (Verdict.DONE, len(asked) - 1)
    assert case.receiver.asked == [str(ALL[at]) for at in asked]
    assert case.send("d").verdict is Verdict.DONE
    assert case.receiver.asked[len(asked) :] == [str(ALL[asked[-1]])]
    assert case.receiver.taken == ["a", "b", "c", "d"]
    assert case.negotiation.learnt == str(ALL[asked[-1]])
    said = [line for line in case.lines.written if line["level"] == "warning"]
    if asked == [0]:
        assert not said
    else:
        (line,) = said
        assert (line["event"], line["encoding"]) == ("shipper.encoding_found", str(ALL[asked[-1]]))
        assert line["settings"][0] == f"{VARIABLE}={ALL[asked[-1]].protocol}"
        assert ("OTEL_EXPORTER_OTLP_COMPRESSION=none" in line["settings"]) == (len(asked) > 2)


@pytest.mark.parametrize("reason", ["status_401", "status_403", "status_404", "status_413", "status_422", "status_503"])
def test_no_other_answer_makes_it_ask_again(reason: str) -> None:
    """They are about who asks, where, how much and when."""
    case = Case(lambda _form, _lines: Outcome(verdict=Verdict.HELD, reason=reason))
    assert case.send("a").reason == reason
    assert case.receiver.asked == [str(ALL[0])]
    assert case.negotiation.learnt == ""


def test_once_something_was_taken_400_is_about_the_records() -> None:
    """And a 415 stays one."""
    case = Case(lambda _form, lines: REFUSED if "bad" in lines else UNSUPPORTED if "odd" in lines else DONE)
    assert [case.send(line).reason for line in ("a", "bad", "odd", "b")] == ["", "status_400", "status_415", ""]
    assert case.receiver.asked == [str(ALL[0])] * 4


@pytest.mark.parametrize("protocol", [PROTOBUF, JSON])
def test_what_a_setting_says_is_kept_and_the_other_is_named(protocol: str) -> None:
    """Once."""
    case = Case(lambda _form, _lines: UNSUPPORTED, [Form(protocol, is_compressed=True)])
    assert [case.send("a").reason, case.send("a").reason] == ["status_415"] * 2
    assert case.receiver.asked == [f"{protocol}, gzip"] * 2
    (line,) = [line for line in case.lines.written if line["level"] == "warning"]
    other = JSON if protocol == PROTOBUF else PROTOBUF
    assert (line["event"], line["settings"]) == ("shipper.encoding_refused", [f"{VARIABLE}={other}"])


def test_a_receiver_that_refuses_every_form_is_asked_in_the_first_one() -> None:
    """What is refused is then proven as ever: the first form's answer is the outcome."""
    case = Case(lambda form, _lines: UNSUPPORTED if form == str(ALL[3]) else REFUSED)
    assert case.send("a").reason == "status_400"
    assert case.receiver.asked == [str(form) for form in ALL]
    assert case.lines.events("warning") == ["shipper.encoding_refused"]
    assert form_of(case.negotiation.build(case.items("a"))) == str(ALL[0])


def test_a_record_that_is_refused_does_not_hide_which_encoding_is_taken() -> None:
    """The first request has one in it; what it is split into is asked for anew."""
    case = Case(lambda form, lines: DONE if "json" in form and "bad" not in lines else REFUSED)
    assert case.send("bad", "a").verdict is Verdict.REFUSED
    assert case.send("bad").verdict is Verdict.REFUSED
    assert case.send("a").verdict is Verdict.DONE
    assert case.receiver.taken == ["a"]
    assert case.send("bad").verdict is Verdict.REFUSED
    assert case.receiver.asked[-1] == str(ALL[1])
    assert case.lines.events("warning") == ["shipper.encoding_refused", "shipper.encoding_found"]


def test_nor_where_the_receiver_does_not_know_the_first_one() -> None:
    """Its refusal in the other is what counts: 415 says nothing of the records, and would have all of them wait."""
    case = Case(lambda form, lines: UNSUPPORTED if "json" not in form else REFUSED if "bad" in lines else DONE)
    assert [case.send(*lines).verdict for lines in (("bad", "a"), ("bad",))] == [Verdict.REFUSED] * 2
    assert case.send("a").verdict is Verdict.DONE
    assert case.receiver.taken == ["a"]


def test_a_receiver_that_refuses_everything_is_not_asked_in_every_form_for_ever() -> None:
    """It is one request each in the end."""
    case = Case(lambda _form, _lines: REFUSED)
    for _ in range(100):
        case.send("a")
    assert len(case.receiver.asked) < 200
    before = len(case.receiver.asked)
    case.send("a")
    assert len(case.receiver.asked) == before + 1


def test_an_outage_in_the_middle_is_no_answer() -> None:
    """The form that was being asked for is asked for again."""
    answers = iter([UNSUPPORTED, BUSY, DONE])
    case = Case(lambda _form, _lines: next(answers))
    request = case.negotiation.build(case.items("a", "b"))
    assert case.negotiation.send(request).reason == "status_503"
    assert case.negotiation.learnt == ""
    assert case.negotiation.send(request) is DONE
    assert case.receiver.asked == [str(ALL[0]), str(ALL[1]), str(ALL[1])]
    assert case.receiver.taken == ["a", "b"]


def test_what_was_sent_ahead_in_a_form_that_is_not_taken_is_sent_again() -> None:
    """As soon as another is known: each is asked for once, by whichever request is first."""
    case = Case(only(JSON, UNSUPPORTED))
    requests = [case.negotiation.build(case.items(line)) for line in ("a", "b")]
    answered = [case.negotiation.begin(request, 1) for request in requests]
    assert [wait().verdict for wait in answered if wait is not None] == [Verdict.DONE] * 2
    assert case.receiver.asked == [str(ALL[at]) for at in (0, 1, 0, 1)]
    assert case.receiver.taken == ["a", "b"]


def test_items_of_either_encoding_make_one_request() -> None:
    """Those that were written before the other was found are transcoded, scopes kept."""
    case = Case(only(JSON, UNSUPPORTED))
    before = case.items("a", "b", "c")
    case.send("x")
    after = case.items("a", "b", "c")
    assert (before[0][0], after[0][0]) == (0x12, ord("{"))
    mixed = gzip.decompress(case.negotiation.build([*before[:2], *after[2:]]).body)
    plain = gzip.decompress(case.negotiation.build(after).body)
    assert without_nulls(from_json("logs", mixed)) == without_nulls(from_json("logs", plain))
    forth = case.negotiation.build(after)
    case.negotiation.learn(str(ALL[0]))
    back = gzip.decompress(case.negotiation.build(after).body)
    assert without_nulls(from_protobuf("logs", back)) == without_nulls(from_json("logs", gzip.decompress(forth.body)))


def test_joined_lines_are_transcoded_each_by_itself() -> None:
    """And under their logger's name."""
    case = Case(only(JSON, UNSUPPORTED))
    records = [
        LogRecord(EVENT, at, Origin(batch_id="b"), b'"line %d"' % at, 5, "INFO", scope="shop") for at in range(3)
    ]
    texts, times, levels = [b"line 0", b"line 1", b"line 2"], [5] * 3, ["INFO"] * 3
    together = LogRecords().several(Records(0, records[0].origin, texts, times, levels, (), ["shop"] * 3))
    assert (len(together), [type(one) is bytes for one in together]) == (1, [False])
    case.send("x")
    joined = gzip.decompress(case.negotiation.build(together).body)
    alone = gzip.decompress(
        case.negotiation.build([case.negotiation.encoding.logs.log(record) for record in records]).body
    )
    assert without_nulls(from_json("logs", joined)) == without_nulls(from_json("logs", alone))


def test_a_successor_does_not_ask_again() -> None:
    """It is told what was taken; what it does not know it ignores."""
    case = Case(lambda form, _lines: REFUSED if "json" in form else DONE)
    changes: list[int] = []
    case.negotiation.changed = lambda: changes.append(1)
    for form in ("", "smoke signals", str(ALL[1])):
        case.negotiation.learn(form)
    assert changes == [1]
    assert case.send("a") is REFUSED
    assert case.receiver.asked == [str(ALL[1])]
