"""What is to be redacted is in no byte that leaves: however escaped, wherever it stands, whatever is made of it."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.contract.schemes import SCHEMES
from lifecycle.contract.settings import Settings
from shipper.delivery.batch import BatchLimits, Position
from shipper.destinations.registry import create
from shipper.model.signals import selected_by
from shipper.pipeline import Pipeline
from shipper.rules.patterns import BLANK, Patterns, TooSlowError
from shipper.rules.redaction import MOST_LEVELS, Redaction
from shipper.rules.rule_set import Rules
from tests.shipper.following import attributes, followed
from tests.shipper.model.test_events import JSON
from tests.shipper.story import R1, done, line, report, start
from tests.shipper.support import Lines, Waits, backlog_of, event

OTLP = {"TAILRACE_DESTINATION": "otlp+http://localhost:1", "TAILRACE_COMPRESSION": "none"}
FORMS = (
    {**OTLP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    {**OTLP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    {"TAILRACE_DESTINATION": "http://localhost:1", "TAILRACE_COMPRESSION": "none"},
)


def leaving(events: list[Any], environ: dict[str, str], forms: Sequence[dict[str, str]] = FORMS) -> list[bytes]:
    """Every request's body and head, in both encodings of OTLP and as lines of JSON unless told otherwise."""
    bodies = []
    for form in forms:
        settings = Settings({"TAILRACE_PLATFORM_LOGS": "1", "TAILRACE_TRACE_UNSAMPLED": "1", **form, **environ})
        lines = Lines("error")
        rules = Rules(settings, lines.log)
        settings = rules.redacted_settings(settings)
        destination = create(settings, Waits(), lines.log)
        limits = BatchLimits(settings.batch_bytes, settings.batch_records)
        pipeline = Pipeline(destination.encoder, limits, lines.log, selected_by(settings), destination.shapes, rules)
        pipeline.is_final, pipeline.ledger = True, {"accepted": 1}
        backlog, end = backlog_of(events)
        for batch in pipeline.batches(backlog.frames(0, end), Position(0)):
            for parcel in batch.parcels.values():
                request = destination.endpoints[parcel.signal].build(parcel.records, parcel.key)
                bodies += [request.body, repr(request).encode()]
        assert lines.events() == []
    return bodies


ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')


def unescaped(text: str) -> str:
    """Every JSON escape in a text resolved, wherever it stands."""
    short = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
    units = ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else short.get(found[2], found[2]), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shows(secret: str, body: bytes) -> bool:
    """Whether a reader finds it who resolves escapes again and again."""
    text = body.decode("utf-8", "replace")
    for _ in range(12):
        if secret in text:
            return True
        text = unescaped(text)
    return False


def redaction(*rules: str) -> Redaction:
    """Some redactions."""
    patterns = Patterns(Lines().log)
    return Redaction(patterns, patterns.redactions("TAILRACE_REDACT", rules))


# What no id, name or number of ours has in it comes first.
SECRETS = st.text(st.sampled_from("abcXYZ012@/+<&'\"\\é😀—"), min_size=3, max_size=12).map(lambda text: f"Zq{text}")


def escaped(text: str, chance: Random) -> str:
    """A text as JSON may have it within quotes."""
    pieces = []
    for c in text:
        data = c.encode("utf-16-be")
        units = "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))
        ways = [units, units.upper().replace("\\U", "\\u")]
        if c in '"\\/':
            ways.append("\\" + c)
        if c not in '"\\':
            ways += [c] * 3
        pieces.append(chance.choice(ways))
    return "".join(pieces)


def nested(secret: str, levels: int, chance: Random) -> str:
    """A text in which the secret stands, in JSON within strings or not."""
    text = chance.choice(["", "user ", "(", "x="]) + secret + chance.choice(["", " is in", ")", "&y"])
    for _ in range(levels):
        forms = ['{"m":"%s"}', '{"a":1,"%s":true}', '[null, "%s"]', 'INFO {"m": "%s"}', 'at "%s"', "%s"]
        text = chance.choice(forms).replace("%s", escaped(text, chance))
    return text


PLACES: dict[str, Callable[[str], list[Any]]] = {
    "text": lambda text: [event(text + "\n")],
    "member": lambda text: [event({"level": "info", "message": "m", "a": {"b": [text]}})],
    "message": lambda text: [event({"level": "info", "message": text})],
    "name": lambda text: [event({"message": "m", text: 1, "x": {text: 2}})],
    "exception": lambda text: [
        event({"errorType": text, "errorMessage": text, "stackTrace": [f"  at {text} (a.js:1:1)"]})
    ],
    "traceback": lambda text: [event(f"[ERROR] {text}: {text}\rTraceback (most recent call last):\r  File {text}\r")],
    "no event": lambda text: [{"odd": [text]}, {"time": text, "type": text, "record": text, text: text}],
    "platform": lambda text: [
        start(0, R1),
        line(1),
        event({"errorType": text, "errorMessage": text, "stackTrace": []}),
        event(
            {
                "requestId": R1,
                "status": "error",
                "errorType": text,
                text: text,
                "tenantId": text,
                "spans": [{"name": text, "start": "2024-05-20T16:29:45.008Z", "durationMs": 1.5}],
            },
            "platform.runtimeDone",
        ),
        report(3, R1),
        event({"name": text, "state": text, "events": [text]}, "platform.extension"),
        event({"anything": text}, "platform.unheardOf"),
    ],
    "other extension": lambda text: [event(text, "extension")],
}


@pytest.mark.parametrize("form", ["%s", "key: %s", "%s and so on", '{"a":"%s"}', '["x: %s"]'])
def test_what_is_known_by_the_name_beside_it_is_found_through_escapes(form: str) -> None:
    """PHP writes a slash with a backslash before it, and a key may have several."""
    said = r'{"secretAccessKey":"wJalrXUtnFEMI\/K7MDENG\u002FbPxRfiCYEXAMPLEKEY"}'
    text = form.replace("%s", said if form[:1] not in "{[" else json.dumps(said)[1:-1])
    one = redaction("aws_key")
    for after in (one.text(text), one.json(json.dumps(text).encode()).decode(), one.json(said.encode()).decode()):
        assert "secretAccessKey" in after
        assert "wJalr" not in after


@settings(max_examples=12, deadline=None)
@given(SECRETS, st.integers(0, 6), st.integers(0, 2**32))
@pytest.mark.parametrize("place", PLACES)
def test_no_byte_of_a_secret_leaves(place: str, secret: str, levels: int, seed: int) -> None:
    """For any secret, any escaping of it, any depth, any member and any signal."""
    text = nested(secret, levels, Random(seed))
    environ = {"TAILRACE_REDACT": re.escape(secret)}
    for body in leaving(PLACES[place](text), environ):
        assert not shows(secret, body), body


def test_nor_in_what_a_span_makes_of_it() -> None:
    """Names of members become names of attributes, and a failure's type stands in a sentence."""
    ended = {"requestId": R1, "status": "error", "errorType": "Zq.Mail", "ZqMail": 1, "tenantId": "a"}
    part = {"name": "Zq.Mail", "start": "2024-05-20T16:29:45.008Z", "durationMs": 1.5, "ZqMail": "b"}
    events = [start(0, R1), event({**ended, "spans": [part]}, "platform.runtimeDone"), report(3, R1)]
    for rule in ("Zq.?Mail", "^Zq.?Mail$"):
        seen = followed(events, TAILRACE_REDACT=rule, TAILRACE_TRACE_UNSAMPLED="1")
        assert len(seen.spans) == 2
        assert re.findall("(?i)zq.?mail", json.dumps(seen.spans)) == []
        (server,) = seen.servers()
        assert (server["status"]["message"], attributes(server)["error.type"]) == ("The invocation failed: ***", BLANK)
        assert attributes(server)["faas.invocation_id"] == R1
        assert attributes(server)["aws.lambda.tenant_id"] == "a"


@settings(max_examples=10, deadline=None)
@given(SECRETS)
def test_nor_in_what_is_said_of_where_it_comes_from(secret: str) -> None:
    """The resource, the function's name, and what spans are called."""
    environ = {
        "TAILRACE_REDACT": re.escape(secret),
        "OTEL_RESOURCE_ATTRIBUTES": "".join(f"%{byte:02x}" for byte in secret.encode()).join(("team=a", "b")),
        "OTEL_SERVICE_NAME": f"shop of {secret}.",
        "AWS_LAMBDA_FUNCTION_NAME": f"f{secret}",
    }
    for body in leaving([start(0, R1), line(1), done(2, R1), report(3, R1)], environ):
        assert not shows(secret, body), body


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nor_to_any_other_destination(scheme: str) -> None:
    """In records, in what groups them, in what each says of where it comes from, and in the request's address."""
    forms = (*(f"{scheme}://localhost:1/{path}" for path in ("a/b", "a")), f"{scheme}:/tmp/a", f"{scheme}:", scheme)
    address = next(form for form in forms if Settings({"TAILRACE_DESTINATION": form}).has_destination)
    hidden = 'Zq"<a\\b>'
    text = nested(hidden, 2, Random(1))
    environ = {
        "TAILRACE_DESTINATION": address,
        "TAILRACE_COMPRESSION": "none",
        "TAILRACE_SIGNALS": "logs,traces,metrics",
        "TAILRACE_REDACT": re.escape(hidden),
        "AWS_LAMBDA_FUNCTION_NAME": f"f{hidden}",
        "OTEL_SERVICE_NAME": f"s{hidden}",
        "OTEL_RESOURCE_ATTRIBUTES": "team=%5A%71%22%3Ca%5Cb%3E",
    }
    events = [one for place in PLACES.values() for one in place(text)]
    bodies = leaving(events, environ, ({},))
    assert bodies
    for body in bodies:
        assert not shows(hidden, body), body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'{"mail":"bob\u0040example.com","auth":"Bearer abcd\/efgh"}', {"mail": BLANK, "auth": f"Bearer {BLANK}"}),
        (r'{"m":"{\"mail\":\"bob\\u0040example.com\",\"n\":1}"}', {"m": '{"mail":"***","n":1}'}),
        (r'{"bob\u0040example.com":1,"eve@example.com":2,"***":3}', {"***_2": 1, "***_3": 2, BLANK: 3}),
    ],
)
def test_what_is_beside_it_stays_as_it_is(text: str, shown: dict[str, Any]) -> None:
    """JSON stays JSON: members keep their places, and none is lost to another that reads alike afterwards."""
    (record,) = followed([event(text)], TAILRACE_REDACT="email;bearer").logs
    assert attributes({"attributes": record["body"]["kvlistValue"]["values"]}) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'12:01 sent {"to":"bob\u0040example.com"}', '12:01 sent {"to":"***"}'),
        (r"sent to bob\u0040example.com from C:\temp\new", None),
        ('{"to":"bob\\u0040example.com","x":NaN}', {"to": "***", "x": "NaN"}),
        ('{"to":"bob\\u0040example.com"}{"a":"eve\\u0040example.com"}', '{"to":"***"}{"a":"***"}'),
        ('{"to":"bob\\u0040example.com","cut":"', '{"to":"***","cut":"'),
        ("C:\\temp\\new is no secret", "C:\\temp\\new is no secret"),
    ],
)
def test_in_what_is_no_json_as_a_whole_escapes_are_resolved_all_the_same(text: str, shown: Any) -> None:
    """Behind a prefix, with what only some libraries take, several in a row, cut."""
    (body,) = followed([event(text)], TAILRACE_REDACT="email").bodies()
    assert not shows("bob@", json.dumps(body).encode())
    assert shown is None or body == shown


def in_strings(value: Any, levels: int) -> str:
    """JSON of JSON of JSON."""
    for _ in range(levels):
        value = json.dumps({"m": value})
    return str(value)


@pytest.mark.parametrize("levels", range(1, 9))
def test_four_levels_of_json_within_a_string_are_looked_into(levels: int) -> None:
    """What lies deeper is blanked, and the record counts as one that could not be redacted."""
    text = in_strings("mail \u00e9 bob@example.com", levels)
    lines = Lines()
    rules = Rules(Settings({"TAILRACE_REDACT": "email"}), lines.log)
    found = rules.redact_text(text)
    assert "bob" not in found
    for _ in range(min(levels, MOST_LEVELS)):
        found = json.loads(found)["m"]
    assert found == ("mail \u00e9 ***" if levels <= MOST_LEVELS else BLANK)


def test_what_is_found_across_members_is_replaced_as_well() -> None:
    """As text, and as the object that the platform makes of it: what is left may be no JSON."""
    members = {"secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "n": 1}
    for record in (members, json.dumps(members)):
        (log,) = followed([event(record)], TAILRACE_REDACT="aws_key").logs
        assert attributes({"attributes": log["body"]["kvlistValue"]["values"]}) == {"secret_access_key": BLANK, "n": 1}
        (body,) = followed([event(record)], TAILRACE_REDACT='"secret_access_key": *"[^"]*"').bodies()
        assert body.replace(" ", "") == '{***,"n":1}'


@pytest.mark.parametrize("record", [{"ssn": "123456789"}, {"ssn": 123456789}])
def test_a_pattern_for_the_whole_of_a_member_finds_it_however_the_line_is_written(record: dict[str, Any]) -> None:
    whole = json.dumps(record)
    odd = (f'{whole[:-1]}, "x": NaN}}', f'{whole[:-1]}, "x": "\\ud83d"}}', f"\ufeff {whole} \n", f"INFO x {whole}")
    for written in (record, whole, in_strings(record["ssn"], 3), *odd):
        for body in leaving([event(written)], {"TAILRACE_REDACT": r"^\d{9}$"}):
            assert b"123456789" not in body


def test_members_of_one_name_are_all_looked_at() -> None:
    """Who reads JSON takes the last of them; who reads lines sees them all."""
    raw = b'{"a":"bob@example.com","a":"x","a":4111111111111111}'
    assert redaction("email", "card").json(raw) == b'{"a":"***","a":"x","a":"***"}'


@given(JSON)
def test_redaction_that_finds_nothing_changes_nothing(value: Any) -> None:
    raw = json.dumps(value).encode()
    assert redaction("jwt", r"^\d{40}$").json(raw) is raw
    text = json.dumps(value)
    assert redaction("jwt", r"^\d{40}$").text(text) == text


# What is made of a line.

TRACEBACK = 'Traceback (most recent call last):\n  File "/var/task/shop.py", line 9, in pay\n    charge(card)\n'
FRAMED = {"message": "x", "errorType": "AError", "errorMessage": "no", "stackTrace": [{"path": "db.go", "line": 5432}]}
UNCAUGHT = "[ERROR] ValueError: no\r" + TRACEBACK.replace("\n", "\r").replace("  ", "\u00a0\u00a0")
PREFIX = f"2024-05-20T16:29:45.123Z\t{R1}\tINFO\t"


@pytest.mark.parametrize(
    ("text", "pattern", "secret"),
    [
        (f"{TRACEBACK}ValueError: 123456789\n", r"^\d{9}$", ("exception.message", "123456789")),
        (UNCAUGHT, r"(?m)^\s*charge", ("exception.stacktrace", "charge")),
        (FRAMED, r"db\.go:\d+", ("exception.stacktrace", "5432")),
        (f"{TRACEBACK}shop.Refused: no\n", r"^shop\.Refused$", ("exception.type", "shop.Refused")),
    ],
    ids=["message", "stack", "frames", "type"],
)
def test_an_exceptions_texts_are_looked_at_by_themselves(text: Any, pattern: str, secret: tuple[str, str]) -> None:
    """Nothing of a line reads like them: a stack has lines of its own, or is put together of frames."""
    (plain,) = followed([line(0, text)]).logs
    (shown,) = followed([line(0, text)], TAILRACE_REDACT=pattern).logs
    assert secret[1] in attributes(plain)[secret[0]]
    assert secret[1] not in attributes(shown)[secret[0]]


@pytest.mark.parametrize(("text", "after"), [("123456789\n", BLANK), (f"{PREFIX}123456789\n", f"{PREFIX}{BLANK}")])
def test_a_body_is_looked_at_by_itself(text: str, after: str) -> None:
    """Without the newline that ends its line, and without what the runtime puts before it."""
    assert followed([line(0, text)], TAILRACE_REDACT=r"\A\d{9}\Z").bodies() == [after]
    (body, _) = leaving([line(0, text)], {"TAILRACE_REDACT": r"\A\d{9}\Z"}, FORMS[2:])
    assert json.loads(body)["message"] == BLANK


def test_what_cannot_be_looked_at_by_itself_is_blanked_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> str:
        raise TooSlowError

    monkeypatch.setattr("shipper.rules.rule_set._redacted_exception", failing)
    seen = followed([line(0, f"{TRACEBACK}ValueError: bob\n")], TAILRACE_REDACT="x")
    (log,) = seen.logs
    assert (seen.bodies(), seen.unredactable) == ([BLANK], 1)
    assert {attributes(log)[f"exception.{name}"] for name in ("type", "message", "stacktrace")} == {BLANK}


# Where it cannot be done.

STORY = [start(0, R1), line(1), event({"message": "m"}), {"odd": 1}, done(2, R1), report(3, R1)]


@pytest.mark.parametrize("redact", ["card;[", "x=>\\9", "(?P<n>a)(?P<n>b)", "email;*"])
def test_with_a_redaction_that_cannot_be_read_nothing_is_sent(redact: str) -> None:
    """Loudly, and at once: nobody knows what it was to keep back. It is not shown either: it may be the secret."""
    seen = followed(STORY, is_final=True, ledger={"accepted": 1}, TAILRACE_REDACT=redact, TAILRACE_SAMPLE="0.5")
    assert (seen.logs, seen.spans, seen.metrics) == ([], [], [])
    assert (seen.events, seen.dropped, seen.waits) == (0, {"unredactable": len(STORY)}, False)
    assert seen.said == ["rules.redaction_unreadable"]
    lines = Lines("warning")
    Rules(Settings({"TAILRACE_REDACT": redact}), lines.log)
    assert (lines.written[0]["level"], lines.written[0]["value"]) == ("error", "(hidden)")


@pytest.mark.parametrize("name", ["emial", "emails", "e-mail", "EMAIL", "email=>(gone)", "card,email"])
def test_what_looks_like_a_name_is_taken_for_both(name: str) -> None:
    """The pattern that it is, and the name that was probably meant; with a warning."""
    word = name.partition("=")[0]
    seen = followed([event(f"bob@example.com {word}")], TAILRACE_REDACT=name)
    (body,) = seen.bodies()
    assert ("bob" in body, word in body) == (False, False)
    assert seen.said == ["rules.name_misspelt"]


@pytest.mark.parametrize("name", ["email", "card", "cat", "order", "e.+l"])
def test_a_name_and_any_other_pattern_are_what_they_are(name: str) -> None:
    assert followed([event("x")], TAILRACE_REDACT=name).said == []


@pytest.mark.parametrize("where", ["redaction.Redaction.json", "patterns.Patterns.redacted"])
@pytest.mark.parametrize("error", [TooSlowError, RecursionError, MemoryError, ValueError])
def test_where_a_rule_raises_nothing_of_the_record_is_shown(
    where: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the line nor of the span that it is part of; and it is counted."""

    def failing(*_: object) -> str:
        raise error("bob")

    events = [
        start(0, R1),
        event("hello bob\n"),
        event({"message": "hello bob"}),
        {"odd": "bob"},
        event({"requestId": R1, "status": "error", "errorType": "bob", "bob": "bob"}, "platform.runtimeDone"),
        report(3, R1),
    ]
    monkeypatch.setattr(f"shipper.rules.{where}", failing)
    seen = followed(events, TAILRACE_REDACT="bob", TAILRACE_TRACE_UNSAMPLED="1")
    # What spans are made of is blanked, too, and counted where they are made.
    counted = {"redaction.Redaction.json": 4, "patterns.Patterns.redacted": 5}
    assert [body.strip('"') for body in seen.bodies()] == [BLANK] * 3
    assert seen.unredactable == counted[where]
    assert "bob" not in json.dumps([seen.logs, seen.spans])
    assert seen.events + sum(seen.dropped.values()) == len(events)


def test_what_cannot_be_judged_is_not_shown_where_a_pattern_might_have_stopped_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> bool:
        raise ValueError

    monkeypatch.setattr("shipper.rules.patterns.Patterns.is_found", failing)
    assert followed([event("hello bob\n")], TAILRACE_DROP="bob").bodies() == [BLANK]


def test_the_log_shows_nothing_of_it_either() -> None:
    """Whatever a field quotes, and while a pattern rests all of it."""
    lines = Lines()
    rules = Rules(Settings({"TAILRACE_REDACT": "bob;(a+)+$"}), lines.log)
    lines.log.redact(rules.shown)
    lines.log.warning("server.answered", said="no such user: b\\u006fb", status=404, more={"of": ["bob"]})
    assert {name: lines.written[0][name] for name in ("said", "status", "more")} == {
        "said": f"no such user: {BLANK}",
        "status": 404,
        "more": {"of": [BLANK]},
    }
    lines.log.warning("server.answered", said="a" * 40 + "!")
    assert [one.get("said", BLANK) for one in lines.written[1:]] == [BLANK, BLANK]
    assert lines.events()[1:] == ["rules.pattern_slow", "server.answered"]
