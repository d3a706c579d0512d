"""The settings table: what is understood, what is said of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract.setting_types import Headers, Timeout, percent_decoded
from lifecycle.contract.settings import Settings


def problems(**environ: str) -> list[dict[str, str]]:
    return [problem.explained() for problem in Settings(environ).problems]


def test_empty_environment_gives_the_defaults() -> None:
    """Nothing needs to be set."""
    settings = Settings({})
    assert not settings.problems
    assert not settings.has_destination
    assert (settings.flush, settings.flush_budget_ms, settings.types) == ("adaptive", 500, ("platform", "function"))


def test_bad_value_is_explained_and_the_default_used() -> None:
    """The variable, the value, what was expected, what is used instead."""
    assert problems(TAILRACE_FLUSH_BUDGET_MS="soon") == [
        {
            "variable": "TAILRACE_FLUSH_BUDGET_MS",
            "value": "soon",
            "expected": "a whole number from 0 to 30000 ms",
            "used": "500",
        }
    ]


def test_misspelt_name_is_answered_with_the_nearest() -> None:
    """And its value is not shown: it may be a secret's."""
    assert problems(TAILRACE_HEADER="Authorization=hunter2") == [
        {
            "variable": "TAILRACE_HEADER",
            "value": "(hidden)",
            "expected": "a known setting's name; did you mean TAILRACE_HEADERS?",
            "used": "nothing",
        }
    ]


def test_name_like_no_other_is_said_to_be_unknown() -> None:
    """No guess is better than a wild one."""
    (problem,) = problems(TAILRACE_XYZZY_PLUGH="1")
    assert problem["expected"] == "a known setting's name"


def test_bad_secret_is_not_shown() -> None:
    """Neither are the addresses that may carry one."""
    for name in ("TAILRACE_HEADERS", "TAILRACE_DESTINATION", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        (problem,) = problems(**{name: "hunter 2"})
        assert "hunter" not in str(problem)


@pytest.mark.parametrize(
    "address",
    [
        "otlp",
        "otlp+https://collector.example.com:4318/base",
        "https://user:pass@logs.example.com/in?key=1",
        "http://[::1]:8080",
        "file:/tmp/out.ndjson",
        "stdout:",
    ],
)
def test_destination_takes_each_form(address: str) -> None:
    """As the table says."""
    settings = Settings({"TAILRACE_DESTINATION": address})
    assert not settings.problems
    assert settings.destination == address
    assert settings.has_destination


@pytest.mark.parametrize(
    "address",
    [
        "ftp://x",
        "https://",
        "https:/x",
        "http://h:0",
        "http://h:99999",
        "file:",
        "otlp+https",
        "stdout",
        "://",
        "http://a b",
        "otlp:",
    ],
)
def test_destination_that_does_not_parse_is_none(address: str) -> None:
    """One problem, no crash, nothing to ship to."""
    settings = Settings({"TAILRACE_DESTINATION": address})
    assert [problem.variable for problem in settings.problems] == ["TAILRACE_DESTINATION"]
    assert not settings.has_destination


def test_opentelemetry_endpoint_is_a_destination() -> None:
    """Its variables mean what they mean everywhere."""
    assert Settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}).has_destination


def test_headers_are_percent_decoded_pairs() -> None:
    """OpenTelemetry's form."""
    settings = Settings({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b%3D, x = y=z ,"})
    assert settings.otlp_headers == (("api-key", "a b="), ("x", "y=z"))


def test_header_with_a_line_break_is_refused() -> None:
    """It would end the header and start another."""
    assert len(problems(TAILRACE_HEADERS="x=a%0d%0aEvil: 1")) == 1


def test_a_bad_header_does_not_take_the_good_ones_with_it() -> None:
    """And no part of any is shown."""
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=abc,b c=hunter2,x-y=z,hunter3"}
    assert Settings(environ).otlp_headers == (("api-key", "abc"), ("x-y", "z"))
    assert problems(**environ) == [
        {
            "variable": "OTEL_EXPORTER_OTLP_HEADERS",
            "value": "(hidden)",
            "expected": "KEY=VALUE[,KEY=VALUE…], no quotes round a value (one that is meant is %22)",
            "used": "the others",
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"api-key=abc"',
        'api-key="abc"',
        "api-key='abc'",
        "'api-key=abc'",
        "api:key=abc",
        "api(key)=abc",
        "clé=abc",
        "=abc",
    ],
)
def test_a_header_that_no_server_would_take_is_a_bad_value(text: str) -> None:
    """Its name is a token (RFC 9110, section 5.6.2); quotes are a shell's, and came too far."""
    (problem,) = problems(TAILRACE_HEADERS=text)
    assert (problem["used"], Settings({"TAILRACE_HEADERS": text}).headers) == ("nothing", ())


def test_a_quote_that_is_meant_can_be_written() -> None:
    """Percent-encoded, or not round the whole value."""
    environ = {"TAILRACE_HEADERS": "a=%22b%22,c=d\"e,f!#$&*+-.^_`|~='"}
    settings = Settings(environ)
    assert not settings.problems
    assert settings.headers == (("a", '"b"'), ("c", 'd"e'), ("f!#$&*+-.^_`|~", "'"))


@pytest.mark.parametrize("signal", ["", "LOGS_", "TRACES_", "METRICS_"])
def test_a_timeout_too_short_for_any_answer_was_meant_in_seconds(signal: str) -> None:
    """As Python's SDK counts; a second is used, and said."""
    variable, attribute = f"OTEL_EXPORTER_OTLP_{signal}TIMEOUT", f"otlp_{signal.lower()}timeout_ms"
    (problem,) = problems(**{variable: "10"})
    assert problem["expected"] == "a whole number from 100 to 120000 ms (not of seconds), or 0"
    assert (problem["value"], problem["used"]) == ("10", "1000")
    assert Settings({variable: "10"}).values[attribute] == 1000
    for text in ("0", "100", "120000"):
        settings = Settings({variable: text})
        assert (settings.problems, settings.values[attribute]) == ([], int(text))


def test_a_name_of_opentelemetrys_that_is_not_honoured_is_said() -> None:
    """With the nearest one that is; what belongs to the SDK alone is not ours to speak of."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINTS": "http://h",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_EXPORTER": "none",
    }
    first, second = Settings(environ).problems
    assert (first.variable, second.variable) == ("OTEL_EXPORTER_OTLP_ENDPOINTS", "OTEL_EXPORTER_OTLP_INSECURE")
    assert first.explained()["expected"] == "a known setting's name; did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"
    assert not first.is_fatal


@pytest.mark.parametrize("text", ["http/protobuf", "HTTP/JSON"])
def test_both_encodings_of_otlp_are_taken(text: str) -> None:
    """None of them unless it is said."""
    settings = Settings({"OTEL_EXPORTER_OTLP_PROTOCOL": text, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": text})
    assert not settings.problems
    assert (settings.otlp_protocol, settings.otlp_logs_protocol) == (text.lower(), text.lower())
    assert (settings.otlp_traces_protocol, Settings({}).otlp_protocol) == ("", "")


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({}, "HTTP"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317"}, "HTTP, and port 4318 for 4317"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://h:4317/"}, "HTTP, and port 4318 for 4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:43170/:4317"}, "HTTP"),
    ],
)
def test_grpc_is_answered_once_with_what_is_used_instead(environ: dict[str, str], used: str) -> None:
    """It is the default of other SDKs, so nobody's mistake; never fatal."""
    names = [f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL" for signal in ("", "LOGS_", "TRACES_", "METRICS_")]
    (problem,) = Settings({**environ, **dict.fromkeys(names, "gRPC")}).problems
    assert problem.explained() == {
        "variable": "OTEL_EXPORTER_OTLP_PROTOCOL",
        "value": "grpc",
        "expected": "one of http/protobuf, http/json",
        "used": used,
    }
    assert not problem.is_fatal


def test_an_encoding_that_nobody_has_heard_of_is_a_bad_value() -> None:
    """Like any other."""
    (problem,) = Settings({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"}).problems
    assert (problem.used, problem.is_fatal) == ("nothing", False)


@pytest.mark.parametrize(("ours", "is_fatal"), [("TAILRACE_HEADERS", True), ("OTEL_EXPORTER_OTLP_HEADERS", False)])
def test_what_opentelemetrys_variables_say_is_never_fatal(ours: str, *, is_fatal: bool) -> None:
    """Not where bad settings of our own are, either."""
    (problem,) = Settings({ours: "x"}).problems
    assert problem.is_fatal is is_fatal


def test_a_proxy_may_be_named_in_lower_case() -> None:
    """As curl and many others read it; capitals win."""
    assert Settings({"https_proxy": "p:1", "no_proxy": "h"}).https_proxy == "p:1"
    assert Settings({"https_proxy": "p:1", "HTTPS_PROXY": "q:2"}).https_proxy == "q:2"
    assert Settings({"https_proxy": "p:1", "HTTPS_PROXY": " "}).https_proxy == "p:1"
    assert Settings({"no_proxy": "h"}).no_proxy == "h"
    assert list(Settings({"https_proxy": "user:pw@proxy:3128"}).secrets()) == ["user:pw", "pw"]


def test_reserved_port_is_refused() -> None:
    """Lambda keeps 9001 for itself."""
    (problem,) = problems(TAILRACE_LISTEN_PORT="9001")
    assert "9001" in problem["expected"]


def test_words_are_understood_in_any_case_and_order() -> None:
    """And a list stands in the table's order."""
    settings = Settings({"TAILRACE_FLUSH": "End", "TAILRACE_TYPES": "extension, PLATFORM", "TAILRACE_ENABLED": "No"})
    assert not settings.problems
    assert (settings.flush, settings.types, settings.enabled) == ("end", ("platform", "extension"), False)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("0", ()),
        ("off", ()),
        ("report", ("report",)),
        ("REPORT, runtimedone", ("runtimeDone", "report")),
        ("platform.report,platform.initStart", ("initStart", "report")),
    ],
)
def test_platform_events_are_named_as_the_platform_does_or_as_cloudwatch_does(
    text: str, names: tuple[str, ...]
) -> None:
    settings = Settings({"TAILRACE_PLATFORM_LOGS": text})
    assert (settings.platform_logs, settings.problems) == (names, [])


@pytest.mark.parametrize("text", ["warn", "WARN", "warning", ""])
def test_the_log_takes_warn_for_warning(text: str) -> None:
    """As every other level that is set does."""
    settings = Settings({"TAILRACE_LOG_LEVEL": text})
    assert (settings.log_level, settings.problems) == ("warning", [])


def test_all_platform_events_are_one() -> None:
    assert "report" in Settings({"TAILRACE_PLATFORM_LOGS": "yes"}).platform_logs
    assert len(Settings({"TAILRACE_PLATFORM_LOGS": "1"}).platform_logs) == 14


def test_a_platform_event_that_nobody_has_heard_of_is_a_bad_value() -> None:
    """Then none of them is taken: half of what was meant would look like all of it."""
    (problem,) = problems(TAILRACE_PLATFORM_LOGS="report,runtimeDon")
    assert problem["expected"].startswith("1, 0 or a comma-separated list of initStart, ")
    assert problem["used"] == "0"


@pytest.mark.parametrize(
    ("text", "value"), [("", "auto"), ("AUTO", "auto"), ("1", "1"), ("true", "1"), ("0", "0"), ("Off", "0")]
)
def test_who_is_not_sampled_may_be_left_to_what_turns_out(text: str, value: str) -> None:
    """A flag of before means what it meant."""
    settings = Settings({"TAILRACE_TRACE_UNSAMPLED": text})
    assert (settings.trace_unsampled, settings.problems) == (value, [])


def test_secrets_are_header_values_user_info_and_queries() -> None:
    """What must not appear in any line."""
    settings = Settings({"TAILRACE_HEADERS": "a=s1", "TAILRACE_DESTINATION": "https://u:s2@host/path?key=s3"})
    assert set(settings.secrets()) == {"s1", "u:s2", "s2", "path", "key=s3"}
    assert list(Settings({"TAILRACE_DESTINATION": "otlp+https://h/base"}).secrets()) == []
    assert list(Settings({"HTTPS_PROXY": "user:pw@proxy:3128"}).secrets()) == ["user:pw", "pw"]


def test_secrets_in_addresses_are_secret_encoded_and_decoded() -> None:
    """They are written percent-encoded, and a server has them decoded."""
    settings = Settings({"TAILRACE_DESTINATION": "https://u:p%40s%2Fs@host/?key=a%2Fb"})
    assert set(settings.secrets()) == {"u:p%40s%2Fs", "u:p@s/s", "p%40s%2Fs", "p@s/s", "key=a%2Fb", "key=a/b"}


def test_bytes_that_are_no_text_become_question_marks() -> None:
    """The environment may hold any bytes; they come as lone surrogates, which no encoder takes."""
    settings = Settings({"OTEL_SERVICE_NAME": "shop\udcff", "TAILRACE_HEADERS": "k=\udcff%20x"})
    assert (settings.service_name, settings.headers) == ("shop?", (("k", "? x"),))


@given(st.text(st.characters(), max_size=40))
def test_any_value_of_any_setting_is_taken_or_becomes_a_problem(text: str) -> None:
    """Nonsense never raises; the default stands in for it."""
    for row in Settings.table():
        settings = Settings({row.variable: text})
        # A file that is none is still what was named.
        if settings.problems and not isinstance(row, Headers | Timeout) and row.attribute != "settings_file":
            assert settings.values[row.attribute] == row.default
        assert list(settings.secrets()) is not None


@given(st.text(max_size=30))
def test_percent_decoding_takes_any_text(text: str) -> None:
    """What is not a sequence stays."""
    assert isinstance(percent_decoded(text), str)
    assert percent_decoded("".join(f"%{byte:02x}" for byte in text.encode("utf-8", "replace"))) == text.encode(
        "utf-8", "replace"
    ).decode("utf-8", "replace")


@given(st.integers(2_097_152, 8_388_608), st.integers(262_144, 1_048_576), st.integers(1000, 10_000))
def test_what_the_platform_delivers_at_once_fits_the_backlog(backlog: int, size: int, items: int) -> None:
    """Else it would be refused, and be lost; whatever was legal by itself stays within the platform's own limits."""
    given = {"BACKLOG_BYTES": backlog, "BUFFER_BYTES": size, "BUFFER_ITEMS": items}
    settings = Settings({f"TAILRACE_{name}": str(value) for name, value in given.items()})
    fits = 2 * size + 80 * items <= settings.batch_limit_bytes
    assert 2 * settings.buffer_bytes + 80 * settings.buffer_items <= settings.batch_limit_bytes
    assert 262_144 <= settings.buffer_bytes <= size
    assert 1000 <= settings.buffer_items <= items
    assert (settings.problems == []) == fits == ((settings.buffer_bytes, settings.buffer_items) == (size, items))


def test_buffer_that_the_backlog_cannot_take_is_explained() -> None:
    """With what is used instead, and why."""
    (problem,) = problems(TAILRACE_BACKLOG_BYTES="2097152", TAILRACE_BUFFER_BYTES="1048576")
    assert problem["variable"] == "TAILRACE_BUFFER_BYTES"
    assert problem["expected"] == "at most 484288 with TAILRACE_BACKLOG_BYTES=2097152"
    assert problem["used"] == "484288"


WRAPPER = "/opt/tailrace/wrap"


@pytest.mark.parametrize(
    ("environ", "is_on"),
    [
        ({}, False),
        ({"TAILRACE_OTLP_INTAKE": "1"}, True),
        ({"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER}, True),
        ({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-handler"}, False),
        ({"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "TAILRACE_OTLP_INTAKE": "0"}, False),
        ({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-handler", "TAILRACE_OTLP_INTAKE": "1"}, True),
        ({"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "TAILRACE_OTLP_INTAKE": " "}, True),
    ],
)
def test_intake_is_on_with_the_wrapper_or_by_its_own_setting(environ: dict[str, str], *, is_on: bool) -> None:
    """What is set wins; and who brings the wrapper wants its SDK's telemetry carried on."""
    settings = Settings({**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://example.com"})
    assert settings.otlp_intake is is_on
    assert settings.backlog_bytes == (16 << 20 if is_on else 8 << 20)
    assert settings.batch_limit_bytes == 4 << 20
    assert settings.problems == []


def test_what_comes_at_once_is_a_quarter_of_the_backlog_with_the_intake() -> None:
    """Two fill it; what the platform may deliver with the least of buffers is taken all the same."""
    for size, batch, export in ((32 << 20, 8 << 20, 4 << 20), (8 << 20, 2 << 20, 2 << 20), (2 << 20, 604_288, 1 << 19)):
        settings = Settings({"TAILRACE_OTLP_INTAKE": "1", "TAILRACE_BACKLOG_BYTES": str(size)})
        assert (settings.backlog_bytes, settings.batch_limit_bytes, settings.export_limit_bytes) == (
            size,
            batch,
            export,
        )
        assert 2 * settings.buffer_bytes + 80 * settings.buffer_items <= batch


@pytest.mark.parametrize(
    "address",
    ["http://localhost:4318", "http://LOCALHOST:4318/v1/traces", "http://127.0.0.1:4318/", "http://[::1]:4318",
     "http://127.9.9.9:4318", "http://localhost:4317", "https://a:b@localhost:4318"],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_endpoint_that_is_the_intake_is_the_sdks(variable: str, address: str) -> None:
    """As everybody has it who comes from a collector extension; with no other, one warning names the line to add."""
    own = {variable: address, "TAILRACE_OTLP_INTAKE": "1"}
    settings = Settings({**own, "TAILRACE_DESTINATION": "otlp+https://example.com"})
    assert settings.problems == []
    assert settings.otlp_endpoint == settings.otlp_traces_endpoint == ""
    settings = Settings(own)
    assert not settings.has_destination
    (problem,) = settings.problems
    assert (problem.variable, problem.used) == (variable, "nothing")
    assert "TAILRACE_DESTINATION=otlp+https://BACKEND" in problem.expected
    assert "a:b" not in problem.value


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({"TAILRACE_DESTINATION": "otlp+http://localhost:4318"}, "http://localhost:4318"),
        ({"TAILRACE_DESTINATION": "http://127.0.0.1:4318/x"}, "http://127.0.0.1:4318"),
        ({"TAILRACE_DESTINATION": "otlp"}, "otlp"),
        ({"TAILRACE_DESTINATION": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, "otlp"),
    ],
)
def test_nothing_is_exported_to_itself(environ: dict[str, str], shown: str) -> None:
    """It would go round for ever."""
    settings = Settings({**environ, "TAILRACE_OTLP_INTAKE": "1"})
    assert not settings.has_destination
    assert [(one.variable, one.value) for one in settings.problems] == [("TAILRACE_DESTINATION", shown)]


def test_no_route_leads_to_the_intake() -> None:
    """A further one is given up alone; one that leads elsewhere is destination enough."""
    own = {"TAILRACE_OTLP_INTAKE": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    settings = Settings({**own, "TAILRACE_DESTINATION_ARCHIVE": "stdout:"})
    assert [route.route for route in settings.routes] == ["archive"]
    assert settings.problems == []
    settings = Settings(
        {**own, "TAILRACE_DESTINATION": "stdout:", "TAILRACE_DESTINATION_ARCHIVE": "http://[::1]:4318/x"}
    )
    assert len(settings.routes) == 1
    (problem,) = settings.problems
    assert (problem.variable, problem.value) == ("TAILRACE_DESTINATION_ARCHIVE", "http://[::1]:4318")
    assert problem.expected.startswith("TAILRACE_DESTINATION_ARCHIVE=otlp+https://BACKEND")


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4319", "TAILRACE_OTLP_INTAKE": "1"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318",
            "TAILRACE_OTLP_INTAKE": "1",
            "TAILRACE_OTLP_PORT": "9",
        },
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost.example.com:4318", "TAILRACE_OTLP_INTAKE": "1"},
    ],
)
def test_endpoint_that_is_not_the_intake_stays_ours(environ: dict[str, str]) -> None:
    """Another collector may well run on the same machine."""
    settings = Settings(environ)
    assert settings.has_destination
    assert settings.otlp_endpoint == environ["OTEL_EXPORTER_OTLP_ENDPOINT"]


HELD_FOR = "for TAILRACE_FLUSH={} to hold an invocation until its records are delivered"


@pytest.mark.parametrize(
    ("environ", "variable", "value", "expected"),
    [
        (
            {"TAILRACE_TYPES": "function"},
            "TAILRACE_TYPES",
            "function",
            f"platform among them, which tells when the function has returned, {HELD_FOR.format('adaptive')}",
        ),
        (
            {"TAILRACE_FLUSH": "end", "TAILRACE_BUFFER_MS": "500"},
            "TAILRACE_BUFFER_MS",
            "500",
            f"less than TAILRACE_FLUSH_BUDGET_MS=500, {HELD_FOR.format('end')}",
        ),
        (
            {"TAILRACE_FLUSH_BUDGET_MS": "20"},
            "TAILRACE_FLUSH_BUDGET_MS",
            "20",
            f"more than TAILRACE_BUFFER_MS=25, or 0, {HELD_FOR.format('adaptive')}",
        ),
        (
            {"TAILRACE_FLUSH": "interval", "TAILRACE_DESTINATION_B": "file:b", "TAILRACE_FLUSH_B": "end"}
            | {"TAILRACE_TYPES": "extension,function"},
            "TAILRACE_TYPES",
            "extension,function",
            f"platform among them, which tells when the function has returned, {HELD_FOR.format('end')}",
        ),
    ],
)
def test_holds_that_cannot_happen_are_said_once(
    environ: dict[str, str], variable: str, value: str, expected: str
) -> None:
    """Each value is taken as it is, so that none is fatal."""
    settings = Settings({"TAILRACE_DESTINATION": "stdout:", "TAILRACE_STRICT": "1", **environ})
    (problem,) = settings.problems
    assert (problem.variable, sorted(problem.value.split(","))) == (variable, value.split(","))
    assert problem.expected == expected
    assert problem.used == "no holds: records leave alongside later invocations, or at shutdown"
    assert not problem.is_fatal
    assert not settings.can_hold


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TAILRACE_DESTINATION": "", "TAILRACE_TYPES": "function"},
        {"TAILRACE_FLUSH_BUDGET_MS": "0"},
        {"TAILRACE_FLUSH_BUDGET_MS": "0", "TAILRACE_TYPES": "function"},
        {"TAILRACE_FLUSH": "interval", "TAILRACE_BUFFER_MS": "5000"},
        {"TAILRACE_TYPES": "function", "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"},
        {"TAILRACE_BUFFER_MS": "499"},
    ],
)
def test_holds_that_nobody_asked_for_are_not_missed(environ: dict[str, str]) -> None:
    """Without a budget, by the interval, on managed instances, and without a destination."""
    assert not Settings({"TAILRACE_DESTINATION": "stdout:", **environ}).problems
