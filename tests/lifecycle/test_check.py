"""`python -m lifecycle.check`: what a person is told, what is sent, how it ends, and what is never printed."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import source_from_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import check
from lifecycle.boot import StrictError, boot
from lifecycle.contract.settings import Settings
from tests.lifecycle.platform_stub import OK, OK_REGISTER, PlatformStub, refusal
from tests.sandbox import Destination, Partial, Status
from tests.sandbox.backend_faults import Action
from tests.sandbox.http1 import Request
from tests.tools.bundles import BEFORE_THE_BUNDLE
from tools import pythons
from tools.bytecode import FOR_PEOPLE
from tools.target import VERSIONS, Version, dotted

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "build" / "layer" / "tailrace"

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


def told(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit status and text."""
    pieces: list[str] = []
    status = check.main(environ, list(arguments), pieces.append)
    return status, "".join(pieces)


def row(text: str, variable: str) -> list[str]:
    """What stands in a setting's row after its name."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{variable} ")]
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()][1:]


class TestSettings:
    """Every setting with value, origin and default."""

    def test_each_has_a_row(self) -> None:
        """The table of the settings is the table that is printed."""
        _, text = told({}, "--all")
        for setting in Settings.table():
            assert len(row(text, setting.variable)) == 3
        assert "at their defaults" not in text

    def test_value_origin_and_default_are_told(self) -> None:
        """Set, not set, and set to what cannot be used."""
        _, text = told({"TAILRACE_FLUSH": "end", "TAILRACE_BUFFER_MS": "soon"}, "--all")
        assert row(text, "TAILRACE_FLUSH") == ["end", "environment", "adaptive"]
        assert row(text, "TAILRACE_FLUSH_INTERVAL_MS") == ["10000 ms", "default", "10000 ms"]
        assert row(text, "TAILRACE_BUFFER_MS") == ["25 ms", "default, not usable", "25 ms"]

    def test_problems_are_explained_and_fail(self) -> None:
        """As the extension would warn, the misspelt name's neighbour included."""
        status, text = told({"TAILRACE_BUFFER_MS": "soon", "TAILRACE_FLUSCH": "end", "TAILRACE_DESTINATION": "stdout:"})
        assert status == 1
        assert "2 problems\n" in text
        assert "TAILRACE_BUFFER_MS: got 'soon', expected a whole number from 25 to 30000 ms" in text
        assert "TAILRACE_FLUSCH: expected a known setting's name; did you mean TAILRACE_FLUSH?" in text

    def test_strict_says_that_the_function_would_not_start(self) -> None:
        """That is what it is for."""
        _, text = told({"TAILRACE_STRICT": "1", "TAILRACE_FLUSH": "never"})
        assert "TAILRACE_STRICT is set: the function would not start" in text

    def test_disabled_is_said(self) -> None:
        """And is no problem by itself."""
        status, text = told({"TAILRACE_ENABLED": "0", ENDPOINT: "https://example.com"})
        assert status == 0
        assert "the extension would stay idle" in text

    def test_without_a_destination_it_fails(self) -> None:
        """Nothing would be shipped."""
        status, text = told({})
        assert status == 1
        assert "There is no destination" in text


class TestWhatMatters:
    """What the extension would do comes first, what is unusual and what is set next; the rest is for who asks."""

    def test_only_what_is_set_is_shown(self) -> None:
        """Of every route, under the name that it was set by."""
        environ = {
            "TAILRACE_DESTINATION": "stdout:",
            "TAILRACE_DESTINATION_B": "file:/tmp/b",
            "TAILRACE_FLUSH_B": "end",
            "TAILRACE_SAMPLE": "0.25",
        }
        _, text = told(environ)
        table = text.partition("\nSettings\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in table.splitlines()[1:]] == [
            *("TAILRACE_DESTINATION", "TAILRACE_SAMPLE", "TAILRACE_DESTINATION_B", "TAILRACE_FLUSH_B"),
            str(len([*Settings.table()]) - 2),
        ]
        assert table.endswith(" are at their defaults: --all shows them.")
        assert text.startswith("The extension would ship logs by the route default; logs by the route b.\n")
        for name, place in (("default", "stdout"), ("b", "file:/tmp/b")):
            assert f"\nDestination of route {name}\n  {place}" in text

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            ({}, ""),
            ({"TAILRACE_API": "logs"}, "the superseded Logs API tells of no init"),
            ({"TAILRACE_TYPES": "platform"}, "no line of the function's would be shipped"),
            ({"TAILRACE_FLUSH_BUDGET_MS": "0"}, "held for delivery: TAILRACE_FLUSH_BUDGET_MS is 0."),
            ({"TAILRACE_SAMPLE": "0.1"}, "A share of 0.1 of all invocations"),
            ({"TAILRACE_MIN_LEVEL": "warn"}, "Log records below warn would be dropped."),
            ({"TAILRACE_DROP": "x"}, "TAILRACE_DROP decides which log records"),
            ({"TAILRACE_REDACT": "("}, "Nothing would be sent: TAILRACE_REDACT cannot be read"),
            ({"TAILRACE_LOG_LEVEL": "debug"}, "which CloudWatch charges for"),
            ({"TAILRACE_OTLP_INTAKE": "1", "TAILRACE_OTLP_PORT": "4400"}, "to the extension, at port 4400 of loopback"),
            ({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/tailrace/wrap"}, "OpenTelemetry SDK would export to the extension"),
        ],
    )
    def test_what_is_unusual_is_told(self, environ: dict[str, str], said: str) -> None:
        """In a sentence; and nothing where all is as usual."""
        _, text = told({"TAILRACE_DESTINATION": "stdout:", **environ})
        flat = " ".join(text.partition("\nUnusual\n")[2].partition("\nSettings\n")[0].split())
        assert said in flat
        assert bool(said) is ("\nUnusual\n" in text)

    def test_a_combination_that_holds_nothing_is_said_in_the_extensions_words(self) -> None:
        """A problem, though each of the values is taken as it is."""
        environ = {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_FLUSH": "end", "TAILRACE_TYPES": "function"}
        status, text = told(environ)
        assert status == check.HAS_PROBLEMS
        (problem,) = Settings(environ).problems
        said = " ".join(text.partition("1 problem")[2].split())
        assert f"got 'function', expected {problem.expected}; used instead: {problem.used}." in said
        assert row(text, "TAILRACE_TYPES")[:2] == ["function", "environment"]

    def test_a_redaction_that_cannot_be_read_ships_nothing(self) -> None:
        """Which is the first thing that is said."""
        status, text = told({"TAILRACE_DESTINATION": "stdout:", "TAILRACE_REDACT": "hunter2("})
        assert status == 1
        assert text.startswith("The extension would ship nothing.\n")

    def test_each_route_gets_its_test_records(self, tmp_path: Path) -> None:
        """By its own settings."""
        environ = {f"TAILRACE_DESTINATION{name}": f"file:{tmp_path}/out{name}" for name in ("", "_B")}
        status, text = told(environ, "--send")
        assert status == 0
        for name, route in (("", "default"), ("_B", "b")):
            assert f"\nTest records of route {route}\n" in text
            assert "A test record" in (tmp_path / f"out{name}").read_text(encoding="utf-8")


class TestDestination:
    """What the settings resolve to."""

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            (
                {ENDPOINT: "https://example.com"},
                ["https://example.com/v1/logs", "OTLP over HTTP, http/protobuf, or else http/json", "gzip"],
            ),
            (
                {"TAILRACE_DESTINATION": "https://example.com/in"},
                ["https://example.com/in", "JSON objects, a line"],
            ),
            ({"TAILRACE_DESTINATION": "file:/tmp/x"}, ["file:/tmp/x"]),
            ({"TAILRACE_DESTINATION": "otlp"}, ["http://localhost:4318/v1/logs"]),
            ({ENDPOINT: "https://h", PROTOCOL: "http/json"}, ["OTLP over HTTP, http/json\n"]),
            (
                {ENDPOINT: "https://example.com", COMPRESSION: "none", "OTEL_SERVICE_NAME": "shop"},
                ["compression  none", "service.name shop"],
            ),
            ({ENDPOINT: "https://example.com", HEADERS: "Api-Key=hunter22"}, ["Api-Key: (hidden)"]),
            (
                {ENDPOINT: "https://example.com/a/", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://x.example.com/in"},
                [
                    "logs         https://example.com/a/v1/logs\n",
                    "traces       https://x.example.com/in\n",
                    "metrics      https://example.com/a/v1/metrics\n",
                ],
            ),
            (
                {
                    ENDPOINT: "https://example.com",
                    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "none",
                    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "team=a",
                    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "700",
                },
                [
                    "logs: none; traces: gzip; metrics: gzip",
                    "metrics: team: (hidden)",
                    "traces: 0.7 s a request",
                ],
            ),
        ],
    )
    def test_it_is_what_the_shipper_would_make_of_them(self, environ: dict[str, str], said: list[str]) -> None:
        """Precedence and defaults are the shipper's own."""
        status, text = told(environ)
        assert (status, text[-13:]) == (0, "All is well.\n")
        _, _, destination = text.partition("\nDestination\n")
        for words in said:
            assert words in destination

    def test_proxy_that_cannot_be_used_is_a_problem(self) -> None:
        """Its value is not shown."""
        environ = {ENDPOINT: "https://example.com", "HTTPS_PROXY": "https://user:hunter22@proxy"}
        status, text = told(environ)
        assert status == 1
        assert "HTTPS_PROXY" in text.partition("1 problem\n")[2]
        assert "hunter22" not in text


# Environments, each played through the extension and the check: well, odd, bad, and what is bad only when it is loaded.
PLAYED: dict[str, dict[str, str]] = {
    "well": {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_REDACT": "card;x+=>y", "TAILRACE_DROP": "^a"},
    "pattern": {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_DROP": "(;ok", "TAILRACE_KEEP": "."},
    "redaction": {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_REDACT": "card;[", "TAILRACE_FLUSCH": "end"},
    "near": {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_REDACT": "emial"},
    "group": {"TAILRACE_DESTINATION": "stdout:", "TAILRACE_REDACT": "a=>\\2"},
    "routes": {
        "TAILRACE_DESTINATION": "stdout:",
        "TAILRACE_DESTINATION_B": "stdout:",
        "TAILRACE_REDACT_B": "(",
        "TAILRACE_KEEP": "*",
        "TAILRACE_FLUSH_C": "end",
    },
    "proxy": {ENDPOINT: "https://127.0.0.1:1", "HTTPS_PROXY": "ftp://127.0.0.1:1", "TAILRACE_BUFFER_MS": "soon"},
    "otlp": {ENDPOINT: "http://127.0.0.1:1", PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "10"},
    "nowhere": {"TAILRACE_DESTINATION": "nowhere", "TAILRACE_DROP": "("},
    "disabled": {"TAILRACE_ENABLED": "0", "TAILRACE_DESTINATION": "stdout:", "TAILRACE_BATCH_BYTES": "1"},
}


class TestAgreement:
    """The check and the extension say the same of the same environment."""

    @pytest.mark.parametrize("name", PLAYED)
    def test_what_one_says_the_other_says(self, name: str) -> None:
        """Each problem in the same words; whether anything is shipped; and whether the function starts at all."""
        status, text = told(PLAYED[name])
        lines = said_by_the_extension(PLAYED[name])
        flat = " ".join(text.split())
        warned = {
            sentence(line) if "variable" in line else line["event"]
            for line in lines
            if line["level"] in ("warning", "error") and line["event"] not in NO_PROBLEM
        }
        assert [one for one in warned if one not in flat] == []
        idle = [line["reason"] for line in lines if line["event"] == "lifecycle.idled"]
        assert ("disabled" in idle, "no_destination" in idle) == (
            "the extension would stay idle" in text,
            "there is no destination." in text,
        )
        if not idle:  # else what only the shipper says is said by the check alone
            assert (f"{len(warned)} problem" in flat) is bool(warned)
            assert status == int(bool(warned))

    @pytest.mark.parametrize("name", PLAYED)
    def test_where_one_would_not_start_the_function_the_other_says_so(self, name: str) -> None:
        """With `TAILRACE_STRICT`."""
        environ = {**PLAYED[name], "TAILRACE_STRICT": "1"}
        _, text = told(environ)
        with PlatformStub(OK_REGISTER, OK) as platform:
            try:
                boot({**environ, "AWS_LAMBDA_RUNTIME_API": platform.host_port}, "tailrace").close()
            except StrictError as refused:
                refused.booted.close()
                names = ", ".join(dict.fromkeys(str(refused).split(", ")))
                assert f"the function would not start with these settings, for {names}." in " ".join(text.split())
            else:
                assert "would not start" not in text


# What the extension warns of that is nobody's setting: how it ended.
NO_PROBLEM = ("lifecycle.idled", "lifecycle.ended")


def said_by_the_extension(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """The lines of the whole extension in an environment, from its start to a SHUTDOWN that comes at once.

    Where init is on nobody's path it asks for the first event when its shippers have loaded, and said, everything.
    """
    body = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}' % ((time.time() + 10) * 1000)
    answers = [OK_REGISTER, OK, refusal(200, body)] if "TAILRACE_ENABLED" not in environ else [OK_REGISTER]
    program = "from lifecycle.__main__ import main; main('tailrace')"
    with PlatformStub(*answers, refusal(200, body)) as platform:
        environ = {
            "AWS_LAMBDA_RUNTIME_API": platform.host_port,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
            "TAILRACE_LOG_LEVEL": "info",
            **environ,
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def sentence(line: Mapping[str, str]) -> str:
    """A line about a setting as the check has it."""
    value = "" if line["value"] == "(hidden)" else f" got {line['value']!r},"
    return f"{line['variable']}:{value} expected {line['expected']}; used instead: {line['used']}."


class TestSend:
    """One record of each signal, once."""

    def test_each_signal_arrives_and_each_answer_is_told(self) -> None:
        """Exit status 0 means that a backend has them all, told as what they are."""
        with Destination() as backend:
            status, text = told({ENDPOINT: backend.url, PROTOCOL: "http/json", "OTEL_SERVICE_NAME": "shop"}, "--send")
            (record,), (span,), (metric,) = backend.records(), backend.spans(), backend.metrics()
        assert status == 0
        assert record.body == span.attributes["tailrace.test"] == "A test record from Tailrace: lifecycle.check --send"
        assert (span.body, metric.body) == ("tailrace.check", "tailrace.requests")
        assert {received.resource["service.name"] for received in (record, span, metric)} == {"shop"}
        lines = text.partition("\nTest records\n")[2].splitlines()
        assert [line.split()[:4] for line in lines[:6:2]] == [
            [signal, "answered", "200", "in"] for signal in ("logs", "traces", "metrics")
        ]
        assert [line.strip() for line in lines[1:6:2]] == ["{}"] * 3

    def test_where_no_setting_says_the_encoding_each_is_sent(self) -> None:
        """A receiver of one of them that answers 200 to anything cannot be noticed otherwise."""
        with Destination() as backend:
            status, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs,traces"}, "--send")
            said = "A test record from Tailrace: lifecycle.check --send, http/"
            assert [record.body for record in backend.records()] == [f"{said}protobuf", f"{said}json"]
            assert [span.attributes["tailrace.test"] for span in backend.spans()] == [f"{said}protobuf", f"{said}json"]
            types = [request.headers["content-type"] for request in backend.requests]
        assert status == 0
        assert types == ["application/x-protobuf", "application/json"] * 2
        assert re.search(
            r"\n  logs +answered 200 to http/protobuf in \d+ ms\n  logs +answered 200 to http/json in", text
        )

    @pytest.mark.parametrize(("taken", "refused"), [("json", "protobuf"), ("protobuf", "json")])
    def test_one_encoding_that_is_taken_is_enough(self, taken: str, refused: str) -> None:
        """The extension finds it out."""
        with Destination() as backend:
            backend.faults.only(taken)
            status, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs"}, "--send")
            assert len(backend.records()) == 1
        assert status == 0
        assert f"answered 415 to http/{refused} in " in text
        assert f"answered 200 to http/{taken} in " in text

    @pytest.mark.parametrize("signal", ["logs", "traces", "metrics"])
    def test_only_the_signals_wanted_are_sent(self, signal: str) -> None:
        """And only their addresses are shown."""
        with Destination() as backend:
            status, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": signal}, "--send")
            assert [request.path for request in backend.requests] == [f"/v1/{signal}"] * 2
        assert status == 0
        assert f"Destination\n  {backend.url}/v1/{signal}\n" in text

    def test_nothing_is_sent_unless_asked_for(self) -> None:
        """Looking changes nothing."""
        with Destination() as backend:
            assert told({ENDPOINT: backend.url})[0] == 0
            assert backend.requests == []

    def test_lines_arrive_as_well(self) -> None:
        """Over HTTP, where there are no other signals."""
        with Destination() as backend:
            assert told({"TAILRACE_DESTINATION": f"{backend.url}/in"}, "--send")[0] == 0
            (request,) = backend.requests
            assert b"A test record from Tailrace" in request.body

    def test_file_is_appended_to(self, tmp_path: Path) -> None:
        """There is no status then."""
        status, text = told({"TAILRACE_DESTINATION": f"file:{tmp_path}/out"}, "--send")
        assert status == 0
        assert "Test records\n  logs         written in " in text
        assert "A test record from Tailrace" in (tmp_path / "out").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (302, "It has moved"),
            (400, "It was understood and refused"),
            (401, "The key is missing or wrong"),
            (403, "The key may not send here"),
            (404, "OTEL_EXPORTER_OTLP_ENDPOINT is a base, to which /v1/logs"),
            (405, "Nothing there takes POST"),
            (413, "Even one record is too large"),
            (415, "is the address one for OTLP over HTTP?"),
            (429, "is a quota used up?"),
            (503, "the backend's own trouble"),
        ],
    )
    def test_refusal_is_told_with_its_text_and_fails(self, code: int, said: str) -> None:
        """With what to look at, and without a second try."""
        with Destination() as backend:
            backend.faults.always(Status(code, b'{"message":"because"}\n'))
            status, text = told({ENDPOINT: backend.url, PROTOCOL: "http/json", "TAILRACE_SIGNALS": "logs"}, "--send")
            assert len(backend.requests) == 1
        assert status == 1
        assert re.search(rf"\n  logs +answered {code} in \d+ ms\n +because\n", text)
        flat = " ".join(text.split())
        assert f"The test log record: not taken: answered {code}." in flat
        assert said in flat

    @pytest.mark.parametrize(
        ("environ", "code", "body", "hints"),
        [
            (
                {PROTOCOL: "http/json"},
                415,
                b"",
                ["http/json; OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is the"],
            ),
            ({PROTOCOL: "http/protobuf"}, 415, b"", ["OTEL_EXPORTER_OTLP_PROTOCOL=http/json is the other one"]),
            ({}, 415, b"", ["If it cannot read gzip, OTEL_EXPORTER_OTLP_COMPRESSION=none sends without."]),
            ({PROTOCOL: "http/json"}, 400, b"", ["OTEL_EXPORTER_OTLP_COMPRESSION=none sends without."]),
            ({"TAILRACE_COMPRESSION": "gzip"}, 400, b"", ["If it cannot read gzip, TAILRACE_COMPRESSION=none"]),
            (
                {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json", "TAILRACE_SIGNALS": "metrics"},
                415,
                b"",
                ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf is the other one"],
            ),
            (
                {"TAILRACE_SIGNALS": "metrics"},
                400,
                b"delta temporality is not supported",
                ["which is delta: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative is the other"],
            ),
            (
                {
                    "TAILRACE_SIGNALS": "metrics",
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative",
                },
                400,
                b"Cumulative monotonic sums are not taken",
                ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta is the other"],
            ),
        ],
    )
    def test_hint_fits_the_answer(self, environ: dict[str, str], code: int, body: bytes, hints: list[str]) -> None:
        """By the name of the setting that changes what was refused."""
        with Destination() as backend:
            backend.faults.always(Status(code, body))
            _, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs", **environ}, "--send")
        flat = " ".join(text.split())
        assert [hint for hint in hints if hint not in flat] == []

    def test_compression_is_no_hint_where_there_is_none(self) -> None:
        """And temporality none but for metrics."""
        with Destination() as backend:
            backend.faults.always(Status(400, b"delta"))
            _, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs", COMPRESSION: "none"}, "--send")
        assert ("gzip," in text, "TEMPORALITY" in text) == (False, False)

    def test_same_refusal_of_every_signal_is_one_problem(self) -> None:
        """A person reads it once."""
        with Destination() as backend:
            backend.faults.always(Status(401))
            status, text = told({ENDPOINT: backend.url}, "--send")
            assert len(backend.requests) == 3
        assert status == 1
        assert "1 problem\n  The test log record and the test span and the test metric: not taken: answered 401" in text

    def test_redirect_says_where_to(self) -> None:
        """It is not followed: a secret would go with it."""
        with Destination() as backend:
            backend.faults.always(Status(308, headers={"Location": "https://elsewhere.example.com/v1/logs"}))
            status, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs"}, "--send")
        assert status == 1
        assert "answered 308, moved to https://elsewhere.example.com/v1/logs in " in text

    def test_signal_that_the_backend_does_not_know_is_no_problem_unless_asked_for(self) -> None:
        """The extension switches it off; whoever names it, misses it."""

        def logs_alone(request: Request, _body: bytes) -> Action | None:
            return None if request.path == "/v1/logs" else Status(404)

        with Destination() as backend:
            backend.faults.script(logs_alone)
            status, text = told({ENDPOINT: backend.url}, "--send")
            assert status == 0
            assert "traces       answered 404: traces are not known there, and would be switched off in " in text
            for environ in (
                {"TAILRACE_SIGNALS": "logs,traces"},
                {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{backend.url}/v1/traces", "TAILRACE_SIGNALS": "logs,traces"},
                {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{backend.url}/v1/traces"},
            ):
                status, text = told({ENDPOINT: backend.url, **environ}, "--send")
                assert status == 1
                assert "The test span: not taken: answered 404." in text

    @pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
    def test_partial_success_that_rejects_the_record_fails(self, protocol: str) -> None:
        """A status 200 alone means nothing; why is in the answer."""
        with Destination() as backend:
            backend.faults.always(Partial(1, "too old"))
            status, text = told({ENDPOINT: backend.url, PROTOCOL: protocol}, "--send")
        assert status == 1
        assert "answered 200, and rejected the span in " in text
        assert text.count("too old\n") == 3

    def test_page_of_a_site_is_no_acknowledgement(self) -> None:
        """Sites answer 200 to anything, and so do gates that want people to log in."""
        page = Status(200, b"<!DOCTYPE html>\n<title>Log in</title>", {"Content-Type": "text/html; charset=utf-8"})
        with Destination() as backend:
            backend.faults.always(page)
            status, text = told({ENDPOINT: backend.url, "TAILRACE_SIGNALS": "logs"}, "--send")
            assert status == 1
            assert "answered 200 with a page of HTML in " in text
            assert "<!DOCTYPE html> <title>Log in</title>" in text
            assert "is that the address of a site" in " ".join(text.split())
            assert told({"TAILRACE_DESTINATION": f"{backend.url}/in"}, "--send")[0] == 1

    def test_nobody_there_is_told_and_fails(self) -> None:
        """With the system's own word for it."""
        status, text = told({ENDPOINT: "http://127.0.0.1:1"}, "--send")
        assert status == 1
        assert "no answer: connect (Connection refused, 127.0.0.1:1). Nothing accepts connections there" in " ".join(
            text.split()
        )

    def test_unknown_host_is_told(self) -> None:
        """By name: this one can never be (RFC 6761)."""
        status, text = told({ENDPOINT: "http://backend.invalid", "TAILRACE_REQUEST_TIMEOUT_MS": "2000"}, "--send")
        assert status == 1
        assert re.search(r"no answer: (resolve|timeout \(resolving)", text)

    def test_untrusted_certificate_is_told(self) -> None:
        """TLS is verified here as in the extension."""
        with Destination(tls=True) as backend:
            status, text = told({ENDPOINT: backend.url}, "--send")
        assert status == 1
        assert "SSL_CERT_FILE may name a private authority's certificate." in " ".join(text.split())

    def test_tls_that_is_spoken_to_without_is_told(self) -> None:
        """A server of TLS hangs up on what is none."""
        with Destination(tls=True) as backend:
            status, text = told({ENDPOINT: backend.url.replace("https:", "http:")}, "--send")
        assert status == 1
        assert "A server that wants TLS needs https://." in " ".join(text.split())

    @pytest.mark.parametrize(
        ("scheme", "answer", "said"),
        [
            ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "begin with http:// rather than https://?"),
            # HTTP/2's settings, with which a server of gRPC begins whatever it is sent (RFC 9113, section 3.4).
            ("http", b"\0\0\6\4\0\0\0\0\0\0\5\0\0\x40\0", "OTLP over HTTP is usually at port 4318, and gRPC at 4317"),
            ("http", b"", "It hung up. What listens there does not speak HTTP"),
            ("http", None, "It took the connection and then said nothing"),
        ],
        ids=["no TLS", "gRPC", "nothing", "silence"],
    )
    def test_what_speaks_something_else_is_told(self, scheme: str, answer: bytes | None, said: str) -> None:
        """The wrong port and the wrong scheme are common mistakes."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_answer_once, args=(listener, answer))
            thread.start()
            environ = {
                ENDPOINT: f"{scheme}://127.0.0.1:{listener.getsockname()[1]}",
                "TAILRACE_SIGNALS": "logs",
                "TAILRACE_REQUEST_TIMEOUT_MS": "5000" if answer is not None else "200",
            }
            status, text = told(environ, "--send")
            thread.join()
        assert status == 1
        assert said in " ".join(text.split())


def _answer_once(listener: socket.socket, answer: bytes | None) -> None:
    """Serves one connection: an answer and its end; None: neither, until the client is gone."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        if answer is None:
            connection.recv(65_536)
        else:
            connection.sendall(answer)


class TestSecrets:
    """None is printed."""

    PLACES = (
        {ENDPOINT: "http://user:{}@127.0.0.1:1"},
        {ENDPOINT: "http://127.0.0.1:1//x//y?key={}"},
        {ENDPOINT: "http://user:{}@127.0.0.1:1//x"},
        {ENDPOINT: "http://127.0.0.1:1", HEADERS: "Authorization=Bearer%20{}"},
        {ENDPOINT: "http://127.0.0.1:1", "TAILRACE_HEADERS": "broken {}"},
        {"TAILRACE_DESTINATION": "https://user:{}@127.0.0.1:1/x", "HTTPS_PROXY": "http://me:{}@127.0.0.1:1"},
        {ENDPOINT: "https://127.0.0.1:1", "HTTPS_PROXY": "me:{}@127.0.0.1:1"},
        {ENDPOINT: "https://127.0.0.1:1", "HTTPS_PROXY": "me:a?{}@127.0.0.1"},
        {"TAILRACE_DESTINATION": "ftp://user:{}@example.com"},
        {"TAILRACE_DESTINATION": "http://127.0.0.1:1/services/{}/x"},
        {"TAILRACE_DESTINATION": "HTTP://127.0.0.1:1/services/{}/x"},
        {"TAILRACE_HEADRES": "key={}", ENDPOINT: "http://127.0.0.1:1"},
    )

    @pytest.mark.parametrize("place", PLACES)
    def test_wherever_it_stands(self, place: dict[str, str]) -> None:
        """In an address, a header, a proxy, a value that cannot be used, a misspelt name."""
        environ = {name: value.format("hunter22") for name, value in place.items()}
        _, text = told(environ, "--send")
        assert "hunter22" not in text

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_nor_in_what_the_backend_repeats(self, place: int) -> None:
        """In a body or a redirect; whole, decoded, and as Basic authentication has it."""
        with Destination() as backend:
            address = backend.url.replace("//", "//me:hunter%2222@")
            environ = [
                {ENDPOINT: backend.url, HEADERS: "Authorization=Bearer%20hunter22xyz"},
                {ENDPOINT: address},
                {"TAILRACE_DESTINATION": f"{backend.url}/services/hunter22"},
            ][place]

            def repeating(request: Request, _body: bytes) -> Action:
                said = f"got {request.path} and {sorted(request.headers.items())} \x1b[31m, expected better".encode()
                return Status(401, said, headers={"Location": f"{backend.url}{request.path}"})

            backend.faults.script(repeating)
            status, text = told(environ, "--send")
        assert status == 1
        assert "expected better" in text
        assert "\x1b" not in text
        for secret in ("hunter22", "hunter%22", 'hunter"22', "bWU6aHVudGVyIjIy"):
            assert secret not in text

    @given(st.text("ab/:?#@", min_size=1), st.text("ab/?#", max_size=5))
    def test_address_keeps_what_stands_before_the_last_at(self, user: str, path: str) -> None:
        """Whatever characters a password has."""
        shown = check.address_shown(f"http://S3CR3T{user}S3CR3T@host/{path}")
        assert not shown.startswith("http://S3CR3T") or "/" in user
        proxy = check.address_shown(f"{user.replace('/', '')}S3CR3T@host")
        assert "S3CR3T" not in proxy


class TestProgram:
    """As a person starts it."""

    def run(
        self, *arguments: str, cwd: Path, python: "str | Path" = sys.executable, **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the program with nothing but the given environment."""
        command = [python, "-m", "lifecycle.check", *arguments]
        return subprocess.run(command, cwd=cwd, env=environ, check=False, capture_output=True, text=True, timeout=30)

    @pytest.mark.parametrize("cwd", [ROOT, LAYER], ids=["checkout", "layer"])
    def test_it_runs_from_a_checkout_and_from_the_unpacked_layer(self, cwd: Path) -> None:
        """With all it needs beside it."""
        with Destination() as backend:
            done = self.run("--send", cwd=cwd, **{ENDPOINT: backend.url})
            assert len(backend.all_records()) == 6
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("All is well.\n")

    @pytest.mark.optional
    @pytest.mark.parametrize("version", VERSIONS, ids=dotted)
    def test_it_runs_from_the_unpacked_layer_on_every_python(self, version: Version) -> None:
        """Nothing is compiled for it but what people run alone, and nothing is said on standard error."""
        interpreter = pythons.found(version)
        if interpreter is None:
            pytest.skip(f"no Python {dotted(version)} on this machine")
        before = set(LAYER.rglob("*"))
        with Destination(tls=True) as backend:
            environ = {ENDPOINT: backend.url, "SSL_CERT_FILE": str(backend.ca_path), "TAILRACE_FLUSCH": "x"}
            done = self.run("--send", cwd=LAYER, python=interpreter, **environ)
            assert len(backend.all_records()) == 6
        assert (done.returncode, done.stderr) == (1, "")
        assert "did you mean TAILRACE_FLUSH?" in done.stdout
        assert "1 problem\n" in done.stdout
        written = {Path(source_from_cache(path)) for path in set(LAYER.rglob("*")) - before}
        assert {str(path.relative_to(LAYER)) for path in written} <= FOR_PEOPLE | BEFORE_THE_BUNDLE

    def test_python_without_the_packages_is_told_which_to_take(self) -> None:
        """The settings are shown all the same."""
        program = "import runpy; runpy.run_module('lifecycle.check', run_name='__main__')"
        command = [sys.executable, "-S", "-c", program]
        environ = {ENDPOINT: "https://example.com", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (1, "")
        assert "No module named 'httptools': this Python lacks what Tailrace is built on." in done.stdout
        assert ENDPOINT in done.stdout

    def test_exit_status_tells_scripts(self) -> None:
        """0 for well, 1 for problems, 2 for a wrong command line."""
        assert self.run(cwd=ROOT, TAILRACE_DESTINATION="stdout:").returncode == 0
        assert self.run(cwd=ROOT, TAILRACE_DESTINATION="nowhere").returncode == 1
        assert self.run("--sned", cwd=ROOT).returncode == 2

    def test_record_for_standard_output_stands_in_its_place(self) -> None:
        """After what was said before, and whole."""
        done = self.run("--send", cwd=ROOT, TAILRACE_DESTINATION="stdout:")
        assert done.returncode == 0
        before, _, after = done.stdout.partition("A test record from Tailrace")
        assert "Destination\n" in before
        assert "logs         written in " in after


def test_the_extension_never_loads_it() -> None:
    """It is for people; no process of ours imports it."""
    program = (
        "import sys, lifecycle.__main__, lifecycle.supervisor, lifecycle.noop, collector.server, shipper.worker;"
        "print([name for name in sys.modules if name.endswith('.check')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


class TestRoutes:
    """Each route as it resolved, in the words that the extension's log has."""

    def test_each_is_shown_as_it_resolved(self) -> None:
        """Where it goes, with which of its own settings, and what these would be without."""
        status, text = told(
            {
                "TAILRACE_DESTINATION": "stdout:",
                "TAILRACE_DESTINATION_ARCHIVE": "https://archive.example/in",
                "TAILRACE_HEADERS": "x-key=hunter-one",
                "TAILRACE_HEADERS_ARCHIVE": "x-archive-key=hunter-two",
                "TAILRACE_MIN_LEVEL_ARCHIVE": "error",
                "TAILRACE_FLUSH": "end",
            }
        )
        assert status == check.OK
        assert "\nDestination of route default\n  stdout" in text
        archive = text.partition("\nDestination of route archive\n")[2]
        assert "  https://archive.example/in\n" in archive
        assert "x-archive-key: (hidden)" in archive
        assert "x-key: " not in archive
        assert row(text, "TAILRACE_MIN_LEVEL_ARCHIVE") == ["error", "environment", "unset"]
        assert "hunter" not in text

    def test_what_is_wrong_with_one_is_said_in_the_same_words_and_the_others_are_shown(self) -> None:
        """As many problems as the extension would warn of."""
        environ = {
            "TAILRACE_DESTINATION": "stdout:",
            "TAILRACE_DESTINATION_ARCHIVE": "warp://x",
            "TAILRACE_DESTINATION_PAGER": "file:/dev/null",
            "TAILRACE_KEEP_NOBODY": "x",
        }
        status, text = told(environ)
        assert status == check.HAS_PROBLEMS
        assert "\n2 problems\n" in text
        said = " ".join(text.partition("2 problems")[2].split())
        for problem in Settings(environ).problems:
            assert f"{problem.explained()['expected']}; used instead: {problem.used}." in said
        assert "\nDestination of route pager\n" in text

    def test_test_records_go_to_each(self) -> None:
        """And what is not taken is told of the route that did not take it."""
        with Destination() as first, Destination() as archive:
            archive.faults.always(Status(403))
            status, text = told(
                {
                    ENDPOINT: first.url,
                    "TAILRACE_DESTINATION_ARCHIVE": f"otlp+{archive.url}",
                    "TAILRACE_SIGNALS": "logs",
                },
                "--send",
            )
            assert status == check.HAS_PROBLEMS
            assert len(first.records()) >= 1
            assert archive.requests
        assert "\nTest records of route archive\n" in text
        assert "Route archive: The test log record: not taken: answered 403." in text

    def test_a_named_route_alone_is_a_destination(self) -> None:
        """There need be no other."""
        status, text = told({"TAILRACE_DESTINATION_ARCHIVE": "stdout:"})
        assert status == check.OK
        assert "\nDestination\n  stdout" in text
        assert row(text, "TAILRACE_DESTINATION_ARCHIVE") == ["stdout:", "environment", "unset"]


def test_file_of_settings_is_read_where_it_lies_here(tmp_path: Path) -> None:
    """Under the variable that says where it will lie, and each value says whence it is."""
    path = tmp_path / "tailrace.env"
    path.write_text("TAILRACE_DESTINATION=stdout:\nTAILRACE_FLUSH=end\nTAILRACE_MIN_LEVEL=warn\nnonsense\n")
    environ = {"TAILRACE_SETTINGS_FILE": "/var/task/tailrace.env", "TAILRACE_FLUSH": "adaptive"}
    status, text = told(environ, "--file", str(path))
    assert status == check.HAS_PROBLEMS
    assert "\nDestination\n  stdout" in text
    assert row(text, "TAILRACE_MIN_LEVEL")[:2] == ["warn", "file"]
    assert row(text, "TAILRACE_FLUSH")[:2] == ["adaptive", "environment"]
    assert "TAILRACE_SETTINGS_FILE: got 'line 4', expected NAME=VALUE, or a comment behind #" in text
