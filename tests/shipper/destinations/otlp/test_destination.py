"""Where OTLP of each signal goes, and what of its requests is rejected."""

import pytest

from shipper.destinations.http import place_of as place_of_others
from shipper.destinations.otlp.destination import place_of
from shipper.transport import address
from tests.shipper.support import settings_of


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
