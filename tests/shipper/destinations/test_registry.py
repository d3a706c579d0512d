"""Which destination the settings name."""

import pytest

from lifecycle.contract.schemes import SCHEMES
from shipper.destinations import registry
from tests.shipper.support import Lines as LogLines
from tests.shipper.support import Waits, settings_of

# An address of each scheme.
ADDRESSES = {
    name: name
    + scheme.form.replace("://HOST[:PORT][/PATH]", "://h/x")
    .replace("://HOST[:PORT]/DATA-STREAM", "://h/x")
    .replace("://HOST[:PORT]/[DATABASE/]TABLE", "://h/x")
    .replace(":PATH", ":/x")
    for name, scheme in SCHEMES.items()
}

# What some of them want to be told.
KEYS = {f"{key}=k" for scheme in SCHEMES.values() for key in scheme.keys}

OTLP, LINES, OBJECTS = "OTLP over HTTP", "a JSON object a line", "JSON objects, a line each or in an array"


@pytest.mark.parametrize(
    ("environ", "takes", "label"),
    [
        ({"TAILRACE_DESTINATION": "otlp"}, OTLP, "http://localhost:4318/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://h/x/"}, OTLP, "https://h/x/v1/logs"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://b/c"},
            OTLP,
            "http://b/c",
        ),
        ({"TAILRACE_DESTINATION": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, OTLP, "http://a:1/v1/logs"),
        (
            {"TAILRACE_DESTINATION": "otlp+https://h", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
            OTLP,
            "https://h/v1/logs",
        ),
        ({"TAILRACE_DESTINATION": "otlp+http://h/v1/logs?k=v"}, OTLP, "http://h/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h/x/v1/traces/"}, OTLP, "http://h/x/v1/logs"),
        ({"TAILRACE_DESTINATION": "https://u:p@h:8443/in?k=v#f"}, OBJECTS, "https://h:8443/in"),
        ({"TAILRACE_DESTINATION": "file:/x/y"}, LINES, "file:/x/y"),
        ({"TAILRACE_DESTINATION": "stdout:"}, LINES, "stdout:"),
    ],
)
def test_the_settings_name_the_destination(environ: dict[str, str], takes: str, label: str) -> None:
    """And its label holds nothing that must not be logged."""
    settings = settings_of(**environ)
    destination = registry.create(settings, Waits(), LogLines().log)
    assert (registry.kind_of(settings).takes, destination.label) == (takes, label)


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTPS_PROXY": "http://me:hunter22@proxy:port"},
        {"HTTPS_PROXY": "socks5://proxy:1080"},
        {"HTTPS_PROXY": "https://proxy"},
        {"HTTPS_PROXY": "http://"},
        {"TAILRACE_DESTINATION": "otlp+https://h..x/\udcff"},
        {"TAILRACE_HEADERS": "x=\udcff", "OTEL_SERVICE_NAME": "\udcff", "OTEL_RESOURCE_ATTRIBUTES": "\udcff=\udcff"},
        {"AWS_LAMBDA_FUNCTION_NAME": "\udcff", "TAILRACE_DESTINATION": "stdout:"},
    ],
)
def test_no_setting_keeps_the_shipper_from_starting(environ: dict[str, str]) -> None:
    """Nonsense and bytes that are not UTF-8 included; no value is said."""
    lines = LogLines()
    settings = settings_of(**{"TAILRACE_DESTINATION": "otlp+https://h"} | environ)
    destination = registry.create(settings, Waits(), lines.log)
    destination.endpoints["logs"].build([b"{}"])
    assert lines.events() == (["shipper.proxy_ignored"] if "HTTPS_PROXY" in environ else [])
    assert "hunter" not in str(lines.written)


def test_the_settings_know_the_schemes_that_there_are() -> None:
    """And no others: what is set is made."""
    assert set(registry.BY_SCHEME) == set(SCHEMES)


@pytest.mark.parametrize("scheme", ADDRESSES)
def test_a_destination_takes_the_signals_that_the_settings_say(scheme: str) -> None:
    """Each has an endpoint, and all are warmed without a word to anybody."""
    settings = settings_of(TAILRACE_DESTINATION=ADDRESSES[scheme], TAILRACE_HEADERS=",".join(KEYS))
    destination = registry.create(settings, Waits(), LogLines().log)
    assert set(destination.endpoints) == set(settings.exported_signals()) == set(SCHEMES[scheme].usual)
    assert (destination.shapes is None) == (SCHEMES[scheme].usual == ("logs",))
    registry.warm(settings)
    destination.close()
