"""Where OTLP of each signal goes, and what of its requests is rejected."""

import pytest

from lifecycle.contract.settings import Settings
from shipper.destinations.http import TlsFiles
from shipper.destinations.http import place_of as place_of_others
from shipper.destinations.otlp.destination import forms_of, place_of
from shipper.destinations.registry import create
from shipper.transport import address
from tests.shipper.support import Lines, Waits, settings_of


def test_the_nearer_header_wins_and_otlps_go_to_otlp_alone() -> None:
    settings = settings_of(
        OTEL_EXPORTER_OTLP_HEADERS="A=1,B=1,C=1", OTEL_EXPORTER_OTLP_LOGS_HEADERS="b=2,C=2", TAILRACE_HEADERS="c=3"
    )
    assert place_of(settings, "logs").headers == {"A": "1", "b": "2", "c": "3"}
    assert place_of_others(settings, address.parse("http://h")).headers == {"c": "3"}


@pytest.mark.parametrize(
    ("environ", "compressed"),
    [
        ({}, True),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip"}, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip", "TAILRACE_COMPRESSION": "none"}, False),
    ],
)
def test_the_nearer_compression_wins(environ: dict[str, str], *, compressed: bool) -> None:
    assert place_of(settings_of(**environ), "logs").is_compressed is compressed


def test_the_nearer_timeout_wins() -> None:
    variables = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "TAILRACE_REQUEST_TIMEOUT_MS")
    found = [
        place_of(settings_of(**{name: str(100 + n) for n, name in enumerate(variables[:count])}), "logs").timeout_s
        for count in range(4)
    ]
    assert found == [5, 0.1, 0.101, 0.102]


@pytest.mark.parametrize(
    ("environ", "label"),
    [
        ({"ENDPOINT": "http://h:4317"}, "http://h:4318/v1/traces"),
        ({"ENDPOINT": "http://h:4317/base"}, "http://h:4318/base/v1/traces"),
        ({"ENDPOINT": "http://h:9999"}, "http://h:9999/v1/traces"),
        ({"TRACES_ENDPOINT": "http://h:4317"}, "http://h:4318/v1/traces"),
        ({"TRACES_ENDPOINT": "http://h:4317/in"}, "http://h:4318/in"),
        ({"ENDPOINT": "http://h:4317", "TRACES_PROTOCOL": "http/json"}, "http://h:4317/v1/traces"),
    ],
)
def test_what_was_meant_for_grpc_goes_where_http_is_spoken(environ: dict[str, str], label: str) -> None:
    """Its port is the other one by convention, and its address has no path."""
    named = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
    settings = Settings({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **named})
    assert place_of(settings, "traces").address.label == label


@pytest.mark.parametrize(
    ("environ", "forms", "variable"),
    [
        ({}, ["protobuf, gzip", "json, gzip", "protobuf, uncompressed", "json, uncompressed"], "PROTOCOL"),
        ({"COMPRESSION": "gzip"}, ["protobuf, gzip", "json, gzip"], "PROTOCOL"),
        ({"LOGS_COMPRESSION": "none"}, ["protobuf, uncompressed", "json, uncompressed"], "PROTOCOL"),
        ({"PROTOCOL": "http/json"}, ["json, gzip"], "PROTOCOL"),
        ({"PROTOCOL": "http/json", "LOGS_PROTOCOL": "http/protobuf"}, ["protobuf, gzip"], "LOGS_PROTOCOL"),
        ({"TRACES_PROTOCOL": "http/json", "COMPRESSION": "none"}, ["protobuf, uncompressed", "json, uncompressed"], ""),
        ({"PROTOCOL": "grpc", "COMPRESSION": "gzip"}, ["protobuf, gzip", "json, gzip"], "PROTOCOL"),
    ],
)
def test_what_a_setting_says_of_the_form_is_kept(environ: dict[str, str], forms: list[str], variable: str) -> None:
    """Only what none says is found out."""
    settings = Settings({f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()})
    found, name = forms_of(settings, "logs")
    assert [str(form).removeprefix("http/") for form in found] == forms
    assert name == f"OTEL_EXPORTER_OTLP_{variable or 'PROTOCOL'}"


def test_the_nearer_files_of_tls_win() -> None:
    """Each by itself, with the variable that names it."""
    names = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE", "LOGS_CERTIFICATE", "LOGS_CLIENT_KEY")
    settings = settings_of(**{f"OTEL_EXPORTER_OTLP_{name}": f"/{name}" for name in names})
    logs, traces = place_of(settings, "logs").tls_files, place_of(settings, "traces").tls_files
    assert logs.authorities == ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/LOGS_CERTIFICATE")
    assert logs.key == ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "/LOGS_CLIENT_KEY")
    assert logs.certificate == traces.certificate == ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/CLIENT_CERTIFICATE")
    assert traces.authorities == ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/CERTIFICATE")
    assert place_of(settings_of(), "logs").tls_files == TlsFiles()


def test_a_file_of_tls_that_cannot_be_used_is_said_once() -> None:
    """By its variable and its name, whatever number of signals it is for."""
    lines = Lines()
    settings = settings_of(OTEL_EXPORTER_OTLP_ENDPOINT="https://h", OTEL_EXPORTER_OTLP_CERTIFICATE="/nowhere.pem")
    destination = create(settings, Waits(), lines.log)
    destination.warm()
    destination.warm()
    (line,) = [line for line in lines.written if line["event"] == "shipper.certificate_ignored"]
    assert (line["variable"], line["file"], line["level"]) == (
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "/nowhere.pem",
        "warning",
    )
