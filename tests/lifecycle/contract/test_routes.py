"""Settings of further routes: whose a variable is, and what is said of one that is nobody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract import patterns, routes
from lifecycle.contract.setting_types import ENVIRONMENT, EVERY_ROUTE, ONE_ROUTE, Text, Whole
from lifecycle.contract.settings import SHARED_BACKLOG_BYTES, Settings

FIRST = {"TAILRACE_DESTINATION": "https://first.example/in?key=first-key"}
ARCHIVE = {**FIRST, "TAILRACE_DESTINATION_ARCHIVE": "https://archive.example/in"}


def of_routes(**environ: str) -> dict[str, Settings]:
    """The settings of each route, by its name."""
    return {route.route: route for route in Settings(environ).routes}


def problems(**environ: str) -> list[dict[str, str]]:
    return [problem.explained() for problem in Settings(environ).problems]


def test_one_destination_is_one_route_and_imports_nothing() -> None:
    """Named by no variable: its settings are the environment's."""
    settings = Settings(FIRST)
    assert settings.routes == (settings,)
    assert settings.route == "default"


def test_destination_with_a_name_behind_it_is_a_route() -> None:
    """Beside the first one, or without it; OpenTelemetry's variables are a first one, too."""
    assert list(of_routes(**ARCHIVE)) == ["default", "archive"]
    assert list(of_routes(TAILRACE_DESTINATION_ARCHIVE="stdout:")) == ["archive"]
    otlp = of_routes(OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:4318", TAILRACE_DESTINATION_ARCHIVE="stdout:")
    assert list(otlp) == ["default", "archive"]
    assert otlp["archive"].exported_signals() == ("logs",)


def test_errors_to_a_pager_and_everything_to_an_archive_is_two_settings() -> None:
    """A destination, and what goes there."""
    found = of_routes(**FIRST, TAILRACE_DESTINATION_PAGER="https://pager.example/", TAILRACE_MIN_LEVEL_PAGER="error")
    assert (found["default"].min_level, found["pager"].min_level) == ("", "error")


def test_rules_limits_and_timing_without_a_name_are_for_all() -> None:
    """And with one for that route alone."""
    found = of_routes(
        **ARCHIVE,
        TAILRACE_DROP="health",
        TAILRACE_BATCH_RECORDS="10",
        TAILRACE_FLUSH="end",
        TAILRACE_FLUSH_ARCHIVE="interval",
        TAILRACE_BATCH_RECORDS_ARCHIVE="20",
    )
    first, archive = found["default"], found["archive"]
    assert (first.drop, first.batch_records, first.flush) == (("health",), 10, "end")
    assert (archive.drop, archive.batch_records, archive.flush) == (("health",), 20, "interval")


def test_what_says_who_is_spoken_to_belongs_to_the_route_it_is_written_for() -> None:
    """Headers, addresses and all that OpenTelemetry names, without a name behind them, are the first one's alone."""
    given_to_first = {
        "TAILRACE_HEADERS": "Authorization=first-secret",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:pass@first.example",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=first-otlp-secret",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/first.pem",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative",
    }
    found = of_routes(
        **given_to_first,
        TAILRACE_DESTINATION_ARCHIVE="otlp+https://archive.example",
        TAILRACE_HEADERS_ARCHIVE="Authorization=archive-secret",
        OTEL_EXPORTER_OTLP_CERTIFICATE_ARCHIVE="/archive.pem",
    )
    first, archive = found["default"], found["archive"]
    assert first.headers == (("Authorization", "first-secret"),)
    assert archive.headers == (("Authorization", "archive-secret"),)
    assert (archive.otlp_endpoint, archive.otlp_headers, archive.otlp_timeout_ms) == ("", (), 0)
    assert (first.otlp_certificate, archive.otlp_certificate) == ("/first.pem", "/archive.pem")
    assert (first.metrics_temporality, archive.metrics_temporality) == ("cumulative", "delta")
    assert "first-secret" not in set(archive.secrets())
    assert {"first-secret", "archive-secret"} <= set(first.secrets())


@pytest.mark.parametrize("row", list(Settings.table()), ids=lambda row: row.variable)
def test_no_secret_and_no_address_is_ever_for_all(row: Text) -> None:
    """Whatever is added to the table: what is secret, or OpenTelemetry's, is one route's, or the environment's."""
    if row.secret or row.variable.startswith("OTEL_EXPORTER_OTLP_"):
        assert row.scope in (ONE_ROUTE, ENVIRONMENT)
        assert row.scope == ONE_ROUTE or not row.variable.startswith(("TAILRACE_", "OTEL_EXPORTER_OTLP_"))


@pytest.mark.parametrize(
    "variable",
    [
        *("TAILRACE_BACKLOG_BYTES", "TAILRACE_SPOOL_BYTES", "TAILRACE_SPOOL_PATH", "TAILRACE_FLUSH_BUDGET_MS"),
        *("TAILRACE_LISTEN_PORT", "TAILRACE_LISTEN_HOST", "TAILRACE_LOG_LEVEL", "TAILRACE_BUFFER_MS"),
    ],
)
def test_what_is_the_environments_takes_no_name(variable: str) -> None:
    """Backlog, spool, budget, listener and log are there once; one warning says so."""
    (problem,) = problems(**ARCHIVE, **{f"{variable}_ARCHIVE": "1"})
    assert problem["variable"] == f"{variable}_ARCHIVE"
    assert f"{variable} is there once, for all routes" in problem["expected"]
    assert problem["used"] == "nothing"


def test_exact_name_of_the_table_wins() -> None:
    """No route takes a setting's name away; one that would is refused, as the table has it."""
    rows = [Text("", "A route's.", variable="TAILRACE_FLUSH", scope=EVERY_ROUTE)]
    rows += [Text("", "Another.", variable="TAILRACE_FLUSH_SOON"), Text("", "A third.", variable="TAILRACE_X_LATER")]
    assert routes.refused_names(rows) == {"SOON", "DEFAULT"}
    names, misnamed = routes.names_of({row.variable: row for row in rows}, {"TAILRACE_DESTINATION_SOON": "stdout:"})
    assert names == ()
    assert [one.variable for one in misnamed] == ["TAILRACE_DESTINATION_SOON"]


def test_no_refused_name_can_be_declared() -> None:
    """Of the table as it is, and the first route's own."""
    for name in routes.refused_names(Settings.table()):
        (problem,) = problems(**FIRST, **{f"TAILRACE_DESTINATION_{name}": "stdout:"})
        assert problem["expected"] == f"another name for a route: {name} is taken"
    for row in Settings.table():
        for other in Settings.table():
            head, _, tail = other.variable.rpartition("_")
            if head == row.variable and row.scope != ENVIRONMENT:
                assert tail in routes.refused_names(Settings.table())


@given(st.from_regex(r"[A-Z][A-Z0-9]{0,15}", fullmatch=True))
def test_every_other_name_of_capitals_and_digits_is_one(name: str) -> None:
    """Whatever it is, its settings are its own, and the table's are the table's."""
    if name in routes.refused_names(Settings.table()):
        return
    found = Settings({**FIRST, f"TAILRACE_DESTINATION_{name}": "stdout:", f"TAILRACE_KEEP_{name}": "x"})
    assert not found.problems
    assert [route.route for route in found.routes] == ["default", name.lower()]
    assert [route.keep for route in found.routes] == [(), ("x",)]


@pytest.mark.parametrize("name", ["archive", "1ST", "A_B", "A" * 17, "Ä", "A-B", ""])
def test_what_is_no_name_is_answered_with_what_one_is(name: str) -> None:
    """There is no such route, and the others go on."""
    settings = Settings({**FIRST, f"TAILRACE_DESTINATION_{name}": "stdout:"})
    assert len(settings.problems) == 1
    assert [route.route for route in settings.routes] == ["default"]


def test_two_routes_of_one_name_are_one_and_a_warning() -> None:
    """The one that is written right."""
    (problem,) = problems(**ARCHIVE, TAILRACE_DESTINATION_archive="stdout:")
    assert (problem["variable"], problem["used"]) == ("TAILRACE_DESTINATION_archive", "TAILRACE_DESTINATION_ARCHIVE")
    assert problem["expected"] == "one destination for a route"


def test_destination_that_cannot_be_used_is_one_warning_and_no_route() -> None:
    """Whatever else is set for it, and the others go on."""
    settings = Settings({**FIRST, "TAILRACE_DESTINATION_ARCHIVE": "warp://x", "TAILRACE_MIN_LEVEL_ARCHIVE": "error"})
    (problem,) = settings.problems
    assert problem.variable == "TAILRACE_DESTINATION_ARCHIVE"
    assert problem.used == "nothing: there is no route archive, and the others go on"
    assert problem.is_fatal
    assert [route.route for route in settings.routes] == ["default"]


def test_destination_without_its_index_is_one_warning() -> None:
    """As one of an unknown scheme is."""
    (problem,) = problems(**FIRST, TAILRACE_DESTINATION_SEARCH="elasticsearch+https://host.example")
    assert "elasticsearch+http(s)://HOST[:PORT]/DATA-STREAM" in problem["expected"]


def test_name_behind_a_setting_that_no_route_has_is_answered() -> None:
    """With the name that is near, or with how one would be declared."""
    (near,) = problems(**ARCHIVE, TAILRACE_MIN_LEVEL_ARCHIV="error")
    assert near["expected"].endswith("did you mean TAILRACE_MIN_LEVEL_ARCHIVE?")
    (far,) = problems(**ARCHIVE, TAILRACE_KEEP_QQQQQQQQQQQQQQ="error")
    assert "TAILRACE_DESTINATION_QQQQQQQQQQQQQQ" in far["expected"]
    assert far["used"] == "nothing"


def test_misspelt_setting_of_a_route_is_answered_with_the_nearest() -> None:
    """Its name included."""
    (problem,) = problems(**ARCHIVE, TAILRACE_MINLEVEL_ARCHIVE="error")
    assert problem["expected"].endswith("did you mean TAILRACE_MIN_LEVEL_ARCHIVE?")


def test_bad_value_of_a_route_leaves_what_is_for_all() -> None:
    """And the variable is named as it was written."""
    settings = Settings({**ARCHIVE, "TAILRACE_FLUSH": "end", "TAILRACE_FLUSH_ARCHIVE": "never"})
    (problem,) = settings.problems
    assert (problem.variable, problem.used) == ("TAILRACE_FLUSH_ARCHIVE", "end")
    assert settings.routes[1].flush == "end"


def test_empty_variable_is_an_unset_one() -> None:
    """Also where it would declare a route."""
    settings = Settings({**FIRST, "TAILRACE_DESTINATION_ARCHIVE": " ", "TAILRACE_DESTINATION_lower": ""})
    assert not settings.problems
    assert len(settings.routes) == 1


@pytest.mark.parametrize(
    ("environ", "variables"),
    [
        ({**FIRST, "TAILRACE_SIGNALS": "metrics"}, ["TAILRACE_SIGNALS"]),
        ({**ARCHIVE, "TAILRACE_SIGNALS_ARCHIVE": "logs,metrics"}, ["TAILRACE_SIGNALS_ARCHIVE"]),
        ({**FIRST, "TAILRACE_SIGNALS": "metrics", "TAILRACE_DESTINATION_X": "otlp+http://x"}, []),
        ({"TAILRACE_DESTINATION": "otlp+http://x", "TAILRACE_SIGNALS": "traces"}, []),
    ],
    ids=["the only one", "asked of it", "another takes it", "taken"],
)
def test_signal_that_a_destination_cannot_take_is_one_warning(environ: dict[str, str], variables: list[str]) -> None:
    """With what is done instead; one that is asked of all is missed only where none takes it."""
    found = problems(**environ)
    assert [problem["variable"] for problem in found] == variables
    assert all(problem["used"] == "logs" for problem in found)


def test_backlog_is_larger_for_several_routes_and_a_batch_a_quarter_of_it() -> None:
    """One may lag with half of it; what is set is kept, as far as a batch would still fit."""
    shared = Settings(ARCHIVE)
    assert (shared.backlog_bytes, shared.batch_limit_bytes) == (SHARED_BACKLOG_BYTES, SHARED_BACKLOG_BYTES // 4)
    assert (Settings(FIRST).backlog_bytes, Settings(FIRST).batch_limit_bytes) == (8_388_608, 4_194_304)
    assert Settings({**ARCHIVE, "TAILRACE_BACKLOG_BYTES": "8388608"}).backlog_bytes == 8_388_608
    small = Settings({**ARCHIVE, "TAILRACE_BACKLOG_BYTES": "2097152"})
    assert small.batch_limit_bytes <= small.backlog_bytes // 2


def test_patterns_of_every_route_are_compiled_for_strictness() -> None:
    """Each under the name of its variable."""
    settings = Settings({**ARCHIVE, "TAILRACE_DROP": "(", "TAILRACE_KEEP_ARCHIVE": "["})
    assert [problem.variable for problem in patterns.problems(settings)] == ["TAILRACE_DROP", "TAILRACE_KEEP_ARCHIVE"]


def test_destination_may_have_a_default_of_its_own_for_when_to_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object stores and streams: many small requests are dear there. What is set counts more."""
    from lifecycle.contract.schemes import SCHEMES, Scheme

    monkeypatch.setitem(SCHEMES, "store", Scheme(":PATH", ("logs",), flush="interval", flush_interval_ms=60_000))
    found = of_routes(**FIRST, TAILRACE_DESTINATION_STORE="store:x")
    assert (found["default"].flush, found["default"].flush_interval_ms) == ("adaptive", 10_000)
    assert (found["store"].flush, found["store"].flush_interval_ms) == ("interval", 60_000)
    found = of_routes(TAILRACE_DESTINATION="store:x", TAILRACE_FLUSH="end", TAILRACE_FLUSH_INTERVAL_MS="500")
    assert (found["default"].flush, found["default"].flush_interval_ms) == ("end", 500)


def test_kinds_of_settings_say_whose_they_are() -> None:
    """Unless told, the environment's; OpenTelemetry's and secret ones one route's."""
    table = {"A": Whole(1, "", low=0, high=1, variable="A"), "B": Text("", "", variable="B", secret=True)}
    for attribute, row in table.items():
        row.__set_name__(Settings, attribute)
    assert (table["A"].scope, table["B"].scope) == (ENVIRONMENT, ENVIRONMENT)
    named = Text("", "", secret=True)
    named.__set_name__(Settings, "secret")
    assert named.scope == ONE_ROUTE
