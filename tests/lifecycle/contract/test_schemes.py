"""The forms of destinations that settings know before anything is loaded."""

import pytest

from lifecycle.contract.schemes import EVERY_SIGNAL, SCHEMES, SERVERS, forms, otlp_endpoint, preset_of, scheme_of
from lifecycle.contract.settings import Settings


@pytest.mark.parametrize("name", SCHEMES)
def test_scheme_takes_its_own_form_and_no_other(name: str) -> None:
    """A destination is written in one way; the name may be in any case."""
    examples = {"": "", ":": ":", ":PATH": ":/tmp/x"}
    mine = SCHEMES[name].form
    good = examples.get(mine, "://host:1/path")
    settings = Settings({"TAILRACE_DESTINATION": name.upper() + good})
    assert settings.destination == name + good
    for form in {*examples.values(), "://host:1/path"} - {good}:
        is_path = mine == ":PATH" and len(form) > 1  # nearly any text is a path
        assert bool(Settings({"TAILRACE_DESTINATION": name + form}).destination) is is_path


@pytest.mark.parametrize("name", SCHEMES)
def test_signals_are_what_is_asked_for_as_far_as_the_destination_takes_it(name: str) -> None:
    """What it usually is sent where none of them is asked for; what it does not take is said."""
    scheme = SCHEMES[name]
    example = name + {"": "", ":": ":", ":PATH": ":/tmp/x"}.get(scheme.form, "://host/stream")
    keys = {"TAILRACE_HEADERS": f"{scheme.keys[0]}=k"} if scheme.keys else {}
    assert Settings({"TAILRACE_DESTINATION": example, **keys}).exported_signals() == scheme.usual
    for asked in EVERY_SIGNAL:
        settings = Settings({"TAILRACE_DESTINATION": example, "TAILRACE_SIGNALS": asked, **keys})
        assert settings.exported_signals() == ((asked,) if asked in scheme.signals else scheme.usual)
        told = [(problem.variable, problem.value, problem.used) for problem in settings.problems]
        is_taken = asked in scheme.signals
        assert told == ([] if is_taken else [("TAILRACE_SIGNALS", asked, ",".join(scheme.usual))])


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.keys])
def test_key_that_must_be_there_is_missed_before_it_is_asked_for(name: str) -> None:
    """In a header of any case, or as the address' user; what is done without is said."""
    (problem,) = Settings({"TAILRACE_DESTINATION": f"{name}://host/a?b=c@d"}).problems
    assert (problem.variable, problem.used) == ("TAILRACE_HEADERS", "no key: records wait")
    assert f"{name} takes nothing" in problem.expected
    for key in SCHEMES[name].keys:
        assert key in problem.expected
        assert not Settings(
            {"TAILRACE_DESTINATION": f"{name}://host/a", "TAILRACE_HEADERS": f"{key.upper()}=k"}
        ).problems
    assert not Settings({"TAILRACE_DESTINATION": f"{name}://x:k@host/a"}).problems
    assert not Settings({"TAILRACE_DESTINATION": f"{name}://host/a", "TAILRACE_PASSWORD": "k"}).problems


def test_unknown_scheme_is_none() -> None:
    """Nothing stands in for it."""
    assert scheme_of("ftp://x") is None
    assert scheme_of("") is None


def test_receiver_of_otlp_is_told_by_its_address() -> None:
    """Or by OTLP's own variables; what is no OTLP has none."""
    assert (otlp_endpoint("otlp+https://h/x"), otlp_endpoint("otlp"), otlp_endpoint("")) == ("https://h/x", "", "")
    assert otlp_endpoint("https://otlp+h") is otlp_endpoint("loki+http://h") is None


def test_forms_are_told_as_people_write_them() -> None:
    """With and without TLS in one."""
    assert forms(SERVERS) == "http(s)://HOST[:PORT][/PATH]"
    assert forms(SCHEMES).startswith("otlp, otlp+http(s)://HOST[:PORT][/PATH], ")


def test_path_that_is_a_key_is_a_secret() -> None:
    """A webhook's is; an OTLP endpoint's is not."""
    for name, scheme in SCHEMES.items():
        if scheme.form.startswith("://"):
            secrets = set(Settings({"TAILRACE_DESTINATION": f"{name}://host/key"}).secrets())
            assert secrets == ({"key"} if scheme.path_is_secret else set())


# A host of each backend that is known, the headers it wants and what a base address comes to.
BACKENDS = [
    ("otlp-gateway-prod-eu-west-2.grafana.net", "Authorization", "/otlp"),
    ("api.honeycomb.io", "x-honeycomb-team", ""),
    ("api.eu1.honeycomb.io", "x-honeycomb-team", ""),
    ("otlp.datadoghq.com", "dd-api-key", ""),
    ("otlp.us5.datadoghq.com", "dd-api-key", ""),
    ("otlp.datadoghq.eu", "dd-api-key", ""),
    ("otlp.ddog-gov.com", "dd-api-key", ""),
    ("otlp.nr-data.net", "api-key", ""),
    ("otlp.eu01.nr-data.net", "api-key", ""),
    ("gov-otlp.nr-data.net", "api-key", ""),
    ("ingress.eu-west-1.aws.dash0.com", "Authorization", ""),
    ("api.axiom.co", "Authorization,X-Axiom-Dataset", ""),
    ("abc12345.live.dynatrace.com", "Authorization", "/api/v2/otlp"),
    ("ingest.eu.signoz.cloud", "signoz-ingestion-key", ""),
]


@pytest.mark.parametrize(("host", "keys", "path"), BACKENDS)
def test_what_is_fixed_at_a_backend_is_known_by_its_host(host: str, keys: str, path: str) -> None:
    """In OpenTelemetry's variables and in ours; a missing header is said, and never fatal where OpenTelemetry's is."""
    headers = ",".join(f"{key}=k" for key in keys.split(","))
    ours, theirs = {"TAILRACE_DESTINATION": f"otlp+https://{host}"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{host}/"}
    for environ, variable in ((ours, "TAILRACE_HEADERS"), (theirs, "OTEL_EXPORTER_OTLP_HEADERS")):
        settings = Settings({**environ, variable: headers})
        assert not settings.problems
        assert (settings.destination or settings.otlp_endpoint).rstrip("/").endswith(f"https://{host}{path}")
        (problem,) = Settings(environ).problems
        assert (problem.variable, problem.is_fatal) == (variable, variable == "TAILRACE_HEADERS")
        assert all(key in problem.expected for key in keys.split(","))
        assert problem.used == "no key: records wait"
    if keys == "Authorization":
        assert not Settings({"TAILRACE_DESTINATION": f"otlp+https://me:k@{host}"}).problems
        assert not Settings({**theirs, "TAILRACE_USER": "me", "TAILRACE_PASSWORD": "k"}).problems


def test_what_is_said_of_a_backend_is_left_as_it_is() -> None:
    """A path, and the address of one signal; of an unknown host nothing is known."""
    key = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=k"}
    for address in ("https://x.live.dynatrace.com/e/1/api/v2/otlp", "https://x.live.dynatrace.com?a=b"):
        assert Settings({"OTEL_EXPORTER_OTLP_ENDPOINT": address, **key}).otlp_endpoint == address
    own = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://otlp-gateway-prod-eu-west-2.grafana.net"}
    assert Settings({**own, **key}).otlp_logs_endpoint == own["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
    for host in (
        "example.com",
        "grafana.net",
        "evil-honeycomb.io",
        "live.dynatrace.com",
        "api.honeycomb.io.example.com",
    ):
        assert preset_of(f"https://{host}/api.honeycomb.io") is None


def test_a_route_has_its_own_backend() -> None:
    """And its own key."""
    environ = {
        "TAILRACE_DESTINATION": "otlp+https://otlp-gateway-prod-eu-west-2.grafana.net",
        "TAILRACE_USER": "me",
        "TAILRACE_DESTINATION_HC": "otlp+https://api.honeycomb.io",
    }
    (problem,) = Settings(environ).problems
    assert problem.variable == "TAILRACE_HEADERS_HC"
    assert not Settings({**environ, "TAILRACE_HEADERS_HC": "x-honeycomb-team=k"}).problems
