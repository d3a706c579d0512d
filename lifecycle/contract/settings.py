"""The environment, declared as a table and read once.

Every setting is one row in the body of `Settings`, of one of the types in `setting_types`; the table parses, documents
itself (`docs/settings.md` is generated from it) and names the variable that a misspelt one was meant to be.
Nothing else in Tailrace reads the environment. A bad value never raises: it becomes a `Problem`, and the
default is used instead.

Runs before the first call to the platform, so it imports nothing but the types.
"""

from lifecycle.contract.schemes import (
    LOGS,
    METRICS,
    OTLP,
    SCHEMES,
    SERVERS,
    TRACES,
    forms,
    otlp_endpoint,
    preset_of,
    scheme_of,
)
from lifecycle.contract.setting_types import (
    ENVIRONMENT,
    EVERY_ROUTE,
    FIRST_ROUTE,
    GRPC,
    ONE_ROUTE,
    OTLP_PREFIX,
    PREFIX,
    REFERENCE_MARK,
    Address,
    BadValueError,
    Choice,
    Encoding,
    Flag,
    FlagOrAuto,
    FlagOrNames,
    Headers,
    Level,
    Names,
    OwnLevel,
    Pairs,
    Patterns,
    Port,
    Ratio,
    Secret,
    Setting,
    Text,
    Timeout,
    Whole,
    marked,
    percent_decoded,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

# What a local OTLP receiver listens on by convention (OpenTelemetry, OTLP exporter specification).
DEFAULT_OTLP_ENDPOINT = "http://localhost:4318"
HTTP_PORT, GRPC_PORT = 4318, 4317

# Where the layer has its wrapper: whoever starts the runtime with it wants the intake.
WRAPPER = "/tailrace/wrap"

# Where the address of the intake is written, the port asked for at its end: the wrapper reads it.
INTAKE_FILE = "/tmp/tailrace-otlp-"  # noqa: S108 - Lambda's only disk

# With the intake on there are two who fill the backlog, and what they bring at once is at most a quarter of it each.
# With several routes one that lags may keep half of it filled, and a batch fits all the same. What of it nobody has
# touched takes no memory.
SHARED_BACKLOG_BYTES = 16_777_216
SHARES = 4

# The largest OTLP request that is taken, as it is received.
MOST_EXPORT_BYTES = 4_194_304


# The events that the platform has of its own, without what all their types begin with (Telemetry API, Logs API).
OF_PLATFORM = "platform."
PLATFORM_EVENTS = (
    *("initStart", "initRuntimeDone", "initReport", "restoreStart", "restoreRuntimeDone", "restoreReport"),
    *("start", "runtimeDone", "report", "end", "extension", "telemetrySubscription", "logsSubscription", "logsDropped"),
)

# The platform's own limits of its buffer (Telemetry API reference).
LEAST_BUFFER_ITEMS = 1000
LEAST_BUFFER_BYTES = 262_144

# A delivered batch may be this many times maxBytes, and for each event what stands around its record besides.
BUFFER_OVERRUN = 2
EVENT_OVERHEAD_BYTES = 80

# What the platform may deliver at once with the least of buffers.
LEAST_BATCH_BYTES = BUFFER_OVERRUN * LEAST_BUFFER_BYTES + EVENT_OVERHEAD_BYTES * LEAST_BUFFER_ITEMS

# How variables begin that name other addresses for AWS's services.
AWS_ENDPOINT = "AWS_ENDPOINT_URL"


class Problem:
    """A setting that was not usable, and what is used instead.

    Attributes:
        variable: Name of the environment variable.
        value: What it held; "(hidden)" when it may hold a secret.
        expected: What would have been right.
        used: What is used instead.
        unknown: There is no such name.
        routes: Names that may stand behind a route's setting, where there is no such name.
        is_met: Nothing is wrong with the value but what it met, on this machine or in another setting.
    """

    __slots__ = ("expected", "is_met", "routes", "unknown", "used", "value", "variable")

    def __init__(
        self,
        variable: str,
        value: str,
        expected: str,
        used: str,
        *,
        unknown: bool = False,
        routes: "tuple[str, ...]" = (),
        is_met: bool = False,
    ) -> None:
        self.routes = routes
        self.is_met = is_met
        self.variable = variable
        self.value = value
        self.expected = expected
        self.used = used
        self.unknown = unknown

    @property
    def is_fatal(self) -> bool:
        """Whether `TAILRACE_STRICT` makes it an init error: what OpenTelemetry's variables say never is one."""
        return self.variable.startswith(PREFIX) and not self.is_met

    def explained(self) -> "dict[str, str]":
        """The problem as fields of a log line; an unknown name gets the nearest known one."""
        expected = self.expected
        if self.unknown:
            from difflib import get_close_matches

            prefix = PREFIX if self.variable.startswith(PREFIX) else OTLP_PREFIX
            rows = [row for row in Settings.table() if row.variable.startswith(prefix)]
            ours = [row.variable.removeprefix(prefix) for row in rows]
            for route in self.routes:
                ours += [f"{row.variable.removeprefix(prefix)}_{route}" for row in rows if row.scope != ENVIRONMENT]
            near = get_close_matches(self.variable.removeprefix(prefix), ours, n=1)
            if near:
                expected = f"{expected}; did you mean {prefix}{near[0]}?"
        return {"variable": self.variable, "value": self.value, "expected": expected, "used": self.used}


class Settings:
    """The table, and the values one environment gives it, or one route of it.

    Args:
        environ: Names and values, as `os.environ` has them.

    Attributes:
        route: Name of the route whose they are.
        routes: Of every route, of all that can be used: the first one's, which are also the environment's, come first.
        given: Attributes of what was set, and how the variable is called.
        problems: What was not usable, in the order of the table, unknown names last.
    """

    enabled = Flag(default=True, about="0 keeps the extension registered and otherwise idle.")
    strict = Flag(default=False, about="1 turns a bad setting into an init error; meant for staging.")
    settings_file = Text("", "File of further settings, NAME=VALUE a line, under those of the environment.")
    log_level = OwnLevel(
        "warning",
        "The extension's own log.",
        options=("debug", "info", "warn", "warning", "error"),
    )

    destination = Address(
        "Where telemetry goes. Unset: the OTLP endpoint below; with neither, nothing is subscribed or shipped.",
        schemes=SCHEMES,
    )
    headers = Headers("Headers sent with every request, over those of OTEL_EXPORTER_OTLP_HEADERS.")
    user = Secret("Name for Basic authentication with every request, over that in the address.")
    password = Secret("Its password.")
    sigv4 = Text(
        "",
        "Signs requests with the function's role for SERVICE or SERVICE/REGION; none: never. Unset: what goes "
        "to an endpoint of AWS that wants it and has no Authorization of its own is signed.",
        scope=ONE_ROUTE,
    )
    compression = Choice(
        "",
        "Content encoding of requests; over OTEL_EXPORTER_OTLP_COMPRESSION. Unset: gzip.",
        options=("gzip", "none"),
        scope=EVERY_ROUTE,
    )
    format = Choice(
        "lines",
        "What a request to http:// or https:// holds: lines of JSON objects, or an array of them.",
        options=("lines", "array"),
        scope=EVERY_ROUTE,
    )

    signals = Names(
        (),
        "What to make of it. Unset: every signal that an OTLP endpoint is set for, and logs alone for any other "
        "destination, which has spans as records where traces are named here.",
        options=("logs", "traces", "metrics"),
        scope=EVERY_ROUTE,
    )

    types = Names(
        ("platform", "function"),
        "What to subscribe to.",
        options=("platform", "function", "extension"),
    )
    api = Choice(
        "telemetry",
        "By which API to subscribe; logs is the superseded one, for functions where it is in use already.",
        options=("telemetry", "logs"),
    )
    protocol = Choice("http", "How the platform delivers; http is acknowledged.", options=("http", "tcp"))
    listen_host = Text("", "Address to listen on. Unset: that of sandbox.localdomain, else loopback.")
    listen_port = Port(0, "Port to listen on; 0: the kernel chooses.", low=0, high=65535)
    buffer_items = Whole(
        1000, "Platform's buffer: a batch leaves at this many events.", low=LEAST_BUFFER_ITEMS, high=10_000
    )
    buffer_bytes = Whole(
        262_144,
        "Platform's buffer: a batch leaves at this size; bounded by what the backlog takes at once.",
        low=LEAST_BUFFER_BYTES,
        high=1_048_576,
        unit="bytes",
    )
    buffer_ms = Whole(25, "Platform's buffer: a batch leaves at this age.", low=25, high=30_000, unit="ms")

    otlp_intake = Flag(
        default=False,
        about="1 takes what the function's own OpenTelemetry SDK exports, at http://localhost:4318. Unset: on with "
        "AWS_LAMBDA_EXEC_WRAPPER=/opt/tailrace/wrap.",
    )
    otlp_port = Port(HTTP_PORT, "Port to take it at; 0, and should it be taken: the kernel chooses.", low=0, high=65535)

    platform_logs = FlagOrNames(
        "The platform's events to ship as log records, too: all of them, none, or those that are named.",
        options=PLATFORM_EVENTS,
        begin=OF_PLATFORM,
    )
    trace_unsampled = FlagOrAuto(
        "Whether invocations that X-Ray does not sample get spans: auto gives all of them one until this environment "
        "sees that X-Ray samples here, and leaves it to X-Ray from then on.",
    )
    emf = Flag(
        default=True,
        about="Whether lines in CloudWatch's Embedded Metric Format become metrics, where metrics go anywhere; "
        "0 leaves them lines.",
        scope=EVERY_ROUTE,
    )
    min_level = Level("Least severity of a log record; one that tells no severity is shipped.")
    keep = Patterns("Log records are shipped only if one of these is found in the body.")
    drop = Patterns("Log records are dropped if one of these is found in the body; after TAILRACE_KEEP.")
    redact = Patterns(
        "What is replaced in everything of the function's that leaves, by *** unless said: patterns, and the names of "
        "ready-made ones, which are card, email, bearer, aws_key and jwt. With one that cannot be used nothing leaves.",
        expected="NAME|PATTERN[=>REPLACEMENT][;…]",
    )
    sample = Ratio(
        1.0,
        "Share of invocations whose logs and spans are shipped, whole or not at all; one that failed always is.",
        scope=EVERY_ROUTE,
    )

    flush = Choice(
        "adaptive",
        "When to ship: adaptive waits for the next invocation if it is expected before the interval ends, "
        "end ships after every invocation, interval only when the interval has passed.",
        options=("adaptive", "end", "interval"),
        scope=EVERY_ROUTE,
    )
    flush_interval_ms = Whole(
        10_000, "Longest planned age of a record.", low=100, high=900_000, unit="ms", scope=EVERY_ROUTE
    )
    flush_budget_ms = Whole(
        500,
        "Longest time a finished invocation is held for delivery.",
        low=0,
        high=30_000,
        unit="ms",
    )

    backlog_bytes = Whole(
        8_388_608,
        "Memory for what is not yet delivered; a batch from the platform may take half of it. With several routes, or "
        "TAILRACE_OTLP_INTAKE, it is twice as much unless set, and a batch may take a quarter.",
        low=2_097_152,
        high=268_435_456,
        unit="bytes",
    )
    spool_bytes = Whole(
        0,
        "Files for what a backlog that stays full does not take; 0: none, the platform keeps it.",
        low=0,
        high=10_737_418_240,
        unit="bytes",
    )
    spool_path = Text("/tmp/tailrace", "Directory of those files; nobody else's.")  # noqa: S108 - Lambda's only disk
    batch_bytes = Whole(
        1_048_576,
        "Largest request body before compression.",
        low=4096,
        high=16_777_216,
        unit="bytes",
        scope=EVERY_ROUTE,
    )
    batch_records = Whole(2000, "Most records in a request.", low=1, high=100_000, scope=EVERY_ROUTE)
    request_timeout_ms = Whole(
        0,
        "Longest time for one request; 0: OTEL_EXPORTER_OTLP_TIMEOUT, else 5000.",
        low=0,
        high=120_000,
        unit="ms",
        scope=EVERY_ROUTE,
    )
    retry_base_ms = Whole(
        50,
        "First pause before a retry, at most; each may be four times as long as the last.",
        low=1,
        high=60_000,
        unit="ms",
        scope=EVERY_ROUTE,
    )
    retry_max_ms = Whole(5000, "Longest pause before a retry.", low=1, high=600_000, unit="ms", scope=EVERY_ROUTE)

    otlp_endpoint = Address(
        "OTLP base address; /v1/logs, /v1/traces and /v1/metrics are appended.",
        schemes=SERVERS,
        variable="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    otlp_logs_endpoint = Address(
        "OTLP address for logs, used as it is.",
        schemes=SERVERS,
        variable="OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    )
    otlp_traces_endpoint = Address(
        "OTLP address for traces, used as it is.",
        schemes=SERVERS,
        variable="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    )
    otlp_metrics_endpoint = Address(
        "OTLP address for metrics, used as it is.",
        schemes=SERVERS,
        variable="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    )
    otlp_headers = Headers("Headers of OTLP requests.", variable="OTEL_EXPORTER_OTLP_HEADERS")
    otlp_logs_headers = Headers(
        "Headers of OTLP log requests, over the general ones.", variable="OTEL_EXPORTER_OTLP_LOGS_HEADERS"
    )
    otlp_traces_headers = Headers(
        "Headers of OTLP trace requests, over the general ones.", variable="OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    )
    otlp_metrics_headers = Headers(
        "Headers of OTLP metric requests, over the general ones.", variable="OTEL_EXPORTER_OTLP_METRICS_HEADERS"
    )
    otlp_compression = Choice(
        "",
        "Compression of OTLP requests.",
        options=("gzip", "none"),
        variable="OTEL_EXPORTER_OTLP_COMPRESSION",
    )
    otlp_logs_compression = Choice(
        "",
        "Compression of OTLP log requests.",
        options=("gzip", "none"),
        variable="OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
    )
    otlp_traces_compression = Choice(
        "",
        "Compression of OTLP trace requests.",
        options=("gzip", "none"),
        variable="OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    )
    otlp_metrics_compression = Choice(
        "",
        "Compression of OTLP metric requests.",
        options=("gzip", "none"),
        variable="OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    )
    otlp_protocol = Encoding(
        "Encoding of OTLP. Unset: http/protobuf, or what else the endpoint turns out to take.",
        variable="OTEL_EXPORTER_OTLP_PROTOCOL",
    )
    otlp_logs_protocol = Encoding(
        "Encoding of OTLP logs. Unset: that of all.",
        variable="OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    )
    otlp_traces_protocol = Encoding(
        "Encoding of OTLP traces. Unset: that of all.",
        variable="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    )
    otlp_metrics_protocol = Encoding(
        "Encoding of OTLP metrics. Unset: that of all.",
        variable="OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    )
    otlp_certificate = Text(
        "",
        "File of the authorities to trust for OTLP, instead of the system's.",
        variable="OTEL_EXPORTER_OTLP_CERTIFICATE",
    )
    otlp_logs_certificate = Text(
        "",
        "File of the authorities to trust for OTLP logs, instead of the system's.",
        variable="OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
    )
    otlp_traces_certificate = Text(
        "",
        "File of the authorities to trust for OTLP traces, instead of the system's.",
        variable="OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    )
    otlp_metrics_certificate = Text(
        "",
        "File of the authorities to trust for OTLP metrics, instead of the system's.",
        variable="OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    )
    otlp_client_certificate = Text(
        "",
        "File of the certificate that says who we are, for OTLP, with those that lead to an authority.",
        variable="OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    )
    otlp_logs_client_certificate = Text(
        "",
        "File of the certificate that says who we are, for OTLP logs, with those that lead to an authority.",
        variable="OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    )
    otlp_traces_client_certificate = Text(
        "",
        "File of the certificate that says who we are, for OTLP traces, with those that lead to an authority.",
        variable="OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    )
    otlp_metrics_client_certificate = Text(
        "",
        "File of the certificate that says who we are, for OTLP metrics, with those that lead to an authority.",
        variable="OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    )
    otlp_client_key = Text(
        "",
        "File of that certificate's key, for OTLP, if it is not in the same one.",
        variable="OTEL_EXPORTER_OTLP_CLIENT_KEY",
    )
    otlp_logs_client_key = Text(
        "",
        "File of that certificate's key, for OTLP logs, if it is not in the same one.",
        variable="OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
    )
    otlp_traces_client_key = Text(
        "",
        "File of that certificate's key, for OTLP traces, if it is not in the same one.",
        variable="OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    )
    otlp_metrics_client_key = Text(
        "",
        "File of that certificate's key, for OTLP metrics, if it is not in the same one.",
        variable="OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
    )
    otlp_timeout_ms = Timeout("Longest time for one OTLP request; 0: unset.", variable="OTEL_EXPORTER_OTLP_TIMEOUT")
    otlp_logs_timeout_ms = Timeout(
        "Longest time for one OTLP log request; 0: unset.", variable="OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"
    )
    otlp_traces_timeout_ms = Timeout(
        "Longest time for one OTLP trace request; 0: unset.", variable="OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
    )
    otlp_metrics_timeout_ms = Timeout(
        "Longest time for one OTLP metric request; 0: unset.", variable="OTEL_EXPORTER_OTLP_METRICS_TIMEOUT"
    )
    metrics_temporality = Choice(
        "delta",
        "Whether sums and histograms count since the last export (delta, lowmemory) or since the environment began.",
        options=("delta", "cumulative", "lowmemory"),
        variable="OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    )
    service_name = Text("", "`service.name`. Unset: the function's name.", variable="OTEL_SERVICE_NAME")
    resource_attributes = Pairs((), "Further resource attributes.", variable="OTEL_RESOURCE_ATTRIBUTES")
    https_proxy = Text(
        "", "Proxy for https destinations. Also https_proxy.", variable="HTTPS_PROXY", also="https_proxy", secret=True
    )
    no_proxy = Text(
        "",
        "Hosts reached without the proxy, comma-separated: names with their subdomains, addresses, ranges of addresses "
        "(10.0.0.0/8), * for all. Also no_proxy.",
        variable="NO_PROXY",
        also="no_proxy",
    )

    ssl_cert_file = Text(
        "",
        "File of the authorities to trust, as OpenSSL reads it. Unset: where Python looks, or Amazon Linux, Debian, "
        "Fedora, SUSE or Alpine keep them.",
        variable="SSL_CERT_FILE",
    )
    ssl_cert_dir = Text(
        "",
        "Directory of authorities to trust, by their hashes (openssl-rehash).",
        variable="SSL_CERT_DIR",
    )

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self.route = FIRST_ROUTE
        self.values: dict[str, Any] = {}
        self.given: dict[str, str] = {}
        self.problems: list[Problem] = []
        in_file: Mapping[str, str] = {}
        if environ.get("TAILRACE_SETTINGS_FILE", "").strip():
            in_file = self._in_file(environ)
            environ = {**environ, **in_file}
        known = set()
        for setting in self.table():
            known.add(setting.variable)
            self.values[setting.attribute] = setting.default
            given = environ.get(setting.variable, "").strip() or environ.get(setting.also, "")
            self._read(setting, setting.variable, given)
        self._answer_grpc()
        if not environ.get("TAILRACE_OTLP_INTAKE", "").strip():
            self.values["otlp_intake"] = environ.get("AWS_LAMBDA_EXEC_WRAPPER", "").strip().endswith(WRAPPER)
        left = self._leave_to_sdk() if self.otlp_intake else None
        self.function = Function(environ)
        self.aws = Aws(environ)
        self.routes: tuple[Settings, ...] = (self,) if self.has_destination else ()
        for name in environ:
            if name.startswith(AWS_ENDPOINT) and environ[name] and not _is_server(environ[name]):
                self.problems.append(Problem(name, "(hidden)", forms(SERVERS), "AWS's own address"))
        unknown = [name for name in environ if name.startswith((PREFIX, OTLP_PREFIX)) and name not in known]
        if unknown:
            self._read_routes({name: environ[name] for name in sorted(unknown)})
        if left and not self.routes:
            self.problems.append(left)
        for route in self.routes:
            route._suit_destination()  # noqa: SLF001 - it is another of this class
        self._check_signals()
        self._check_holds()
        if self.is_shared and "backlog_bytes" not in self.given:
            self.values["backlog_bytes"] = SHARED_BACKLOG_BYTES
        if self.api == "logs" and self.function.is_managed:
            self.values["api"] = "telemetry"
            self.problems.append(Problem("TAILRACE_API", "logs", "telemetry: there is no Logs API here", "telemetry"))
        self._bound_buffer()
        if in_file:
            self._hint_at_secrets(in_file)
        self.api_host_port = environ.get("AWS_LAMBDA_RUNTIME_API", "")

    def _in_file(self, environ: "Mapping[str, str]") -> "Mapping[str, str]":
        """What the file has that the environment names, and that has not; what is wrong with it is a problem."""
        from lifecycle.contract import settings_file

        found, unusable = settings_file.read(environ["TAILRACE_SETTINGS_FILE"].strip(), self.table())
        self.problems += [Problem("TAILRACE_SETTINGS_FILE", one.where, one.expected, one.used) for one in unusable]
        return settings_file.left_by(environ, found, self.table())

    def _hint_at_secrets(self, in_file: "Mapping[str, str]") -> None:
        """Says of secrets as they are in the file what could stand there instead."""
        from lifecycle.contract.settings_file import plain_secrets

        routes = (self, *self.routes)
        named = {variable for route in routes for variable in plain_secrets(route, self.table(), in_file)}
        expected = "a secret by reference, @{secretsmanager:NAME#KEY} or @{ssm:/PATH}: the file lies beside the code"
        self.problems += [
            Problem(variable, "(hidden)", expected, "the secret, as it stands there", is_met=True)
            for variable in sorted(named)
        ]

    def _read(self, setting: "Setting", variable: str, given: str) -> None:
        """Takes what a variable holds; what is not usable is a problem, and changes nothing."""
        # What is not UTF-8 arrives as lone surrogates, which no encoder takes further on.
        text = given.encode("utf-8", "replace").decode().strip()
        if not text:  # an empty variable is an unset one (OpenTelemetry's rule, and a template's habit)
            return
        self.given[setting.attribute] = variable
        try:
            self.values[setting.attribute] = setting.read(text)
        except BadValueError as exc:
            shown = "(hidden)" if setting.secret else text
            used = exc.used or setting.shown(self.values[setting.attribute]) or "nothing"
            if exc.usable is not None:
                self.values[setting.attribute] = exc.usable
            self.problems.append(Problem(variable, shown, exc.expected or setting.expected, used))

    def _read_routes(self, given: "dict[str, str]") -> None:
        """The further routes that are declared and can be used; what is no setting of any is a problem.

        Args:
            given: Names and values that the table does not have.
        """
        from lifecycle.contract.routes import names_of

        names, misnamed = names_of({row.variable: row for row in self.table()}, given)
        routes = [self._route(name, given) for name in names]
        self.routes += tuple(route for route in routes if route.has_destination)
        for one in misnamed:
            # The value may be a misspelt secret's.
            problem = Problem(one.variable, "(hidden)", one.expected, one.used, unknown=one.is_unknown, routes=names)
            self.problems.append(problem)

    def _route(self, name: str, given: "dict[str, str]") -> "Settings":
        """The settings of a further route: these, but for what is one route's only, and what ends in its name."""
        own = {row.attribute: row.default for row in self.table() if row.scope == ONE_ROUTE}
        route = object.__new__(Settings)
        route.route = name.lower()
        route.values = {**self.values, **own}
        route.given = {attribute: variable for attribute, variable in self.given.items() if attribute not in own}
        route.problems = self.problems
        route.function, route.aws, route.routes = self.function, self.aws, ()
        for row in self.table():
            if row.scope != ENVIRONMENT:
                variable = f"{row.variable}_{name}"
                route._read(row, variable, given.get(variable, ""))
        for problem in self.problems:
            if problem.variable == f"TAILRACE_DESTINATION_{name}":
                problem.used = f"nothing: there is no route {route.route}, and the others go on"
        route._answer_grpc()
        left = route._leave_to_sdk() if self.otlp_intake else None
        self.problems += [left] if left else []
        return route

    def _suit_destination(self) -> None:
        """Takes the destination's own defaults for what is not set, and says what it will want to know."""
        scheme = scheme_of(self.destination)
        endpoint = otlp_endpoint(self.destination)
        if endpoint is not None:
            self._suit_backend("destination" if endpoint else "otlp_endpoint")
        if scheme is None:
            return
        if "flush" not in self.given:
            self.values["flush"] = scheme.flush
        if scheme.flush_interval_ms and "flush_interval_ms" not in self.given:
            self.values["flush_interval_ms"] = scheme.flush_interval_ms
        name, _, place = self.destination.partition(":")
        given = {field.lower() for field, _ in self.headers}
        has_user = bool(self.user or self.password) or "@" in place.strip("/").partition("/")[0]
        if scheme.keys and not has_user and given.isdisjoint(key.lower() for key in scheme.keys):
            expected = f"a header {' or '.join(scheme.keys)}, without which {name} takes nothing"
            variable = self.given["destination"].replace("DESTINATION", "HEADERS", 1)
            self.problems.append(Problem(variable, "(hidden)", expected, "no key: records wait"))

    def _suit_backend(self, attribute: str) -> None:
        """The same of a backend's OTLP, known by its host: completes a base address, and misses a key."""
        address: str = self.values[attribute]
        preset = preset_of(address)
        if preset is None:
            return
        plain = address.rstrip("/")
        if preset.path and "/" not in plain.partition("//")[2] and "?" not in plain:
            self.values[attribute] = plain + preset.path
        own = (self.values[f"otlp_{signal}_headers"] for signal in (LOGS, TRACES, METRICS))
        given = {field.lower() for pairs in (self.headers, self.otlp_headers, *own) for field, _ in pairs}
        if self.user or self.password or "@" in address:
            given.add("authorization")
        missing = [key for key in preset.keys if key.lower() not in given]
        if missing:
            is_ours = attribute == "destination"
            variable = self.given[attribute]
            variable = variable.replace("DESTINATION" if is_ours else "ENDPOINT", "HEADERS", 1)
            expected = f"a header {' and one '.join(missing)}, without which {preset.name} takes nothing"
            self.problems.append(Problem(variable, "(hidden)", expected, "no key: records wait"))

    def _check_signals(self) -> None:
        """Says of a signal that was asked for that its destination does not take it; of one for all, that none does."""
        taken = {signal for route in self.routes for signal in route.exported_signals()}
        for route in self.routes:
            scheme, variable = scheme_of(route.destination), route.given.get("signals", "")
            takes = scheme.signals if scheme is not None else route.signals
            if variable == "TAILRACE_SIGNALS":
                takes = (*takes, *(taken if route is self.routes[0] else route.signals))
            if any(signal not in takes for signal in route.signals) and scheme is not None:
                name = route.destination.partition(":")[0]
                expected = f"{','.join(scheme.signals)} or less, which is what {name} takes"
                used = ",".join(route.exported_signals())
                self.problems.append(Problem(variable, ",".join(route.signals), expected, used))

    def _check_holds(self) -> None:
        """Says once where invocations were to be held, and with these settings none can be.

        A budget of 0 asks for that. On managed instances nothing is held in any case.
        """
        modes = [route.flush for route in self.routes if route.flush != "interval"]
        if not modes or self.can_hold or not self.flush_budget_ms or self.function.is_managed:
            return
        if "platform" not in self.types:
            variable, expected = "TAILRACE_TYPES", "platform among them, which tells when the function has returned"
        elif "buffer_ms" in self.given:
            variable, expected = "TAILRACE_BUFFER_MS", f"less than TAILRACE_FLUSH_BUDGET_MS={self.flush_budget_ms}"
        else:
            variable, expected = "TAILRACE_FLUSH_BUDGET_MS", f"more than TAILRACE_BUFFER_MS={self.buffer_ms}, or 0"
        value = self.values[variable.removeprefix(PREFIX).lower()]
        given = ",".join(value) if isinstance(value, tuple) else str(value)
        expected += f", for TAILRACE_FLUSH={modes[0]} to hold an invocation until its records are delivered"
        used = "no holds: records leave alongside later invocations, or at shutdown"
        self.problems.append(Problem(variable, given, expected, used, is_met=True))

    def _bound_buffer(self) -> None:
        """Bounds the platform's buffer by the backlog: what it delivers at once would be refused, and lost with it."""
        limit = self.batch_limit_bytes
        bounds = (
            ("buffer_bytes", (limit - EVENT_OVERHEAD_BYTES * self.buffer_items) // BUFFER_OVERRUN, LEAST_BUFFER_BYTES),
            ("buffer_items", (limit - BUFFER_OVERRUN * LEAST_BUFFER_BYTES) // EVENT_OVERHEAD_BYTES, LEAST_BUFFER_ITEMS),
        )
        for attribute, bound, least in bounds:
            given, most = self.values[attribute], max(bound, least)
            if given > most:
                self.values[attribute] = most
                expected = f"at most {most} with TAILRACE_BACKLOG_BYTES={self.backlog_bytes}"
                self.problems.append(Problem(PREFIX + attribute.upper(), str(given), expected, str(most)))

    @classmethod
    def table(cls) -> "Iterator[Setting]":
        """The rows, in the order of declaration."""
        return (row for row in vars(cls).values() if isinstance(row, Setting))

    def _answer_grpc(self) -> None:
        """Says once what is used instead of gRPC, which other SDKs speak by default."""
        rows = [row for row in self.table() if isinstance(row, Encoding) and self.values[row.attribute] == GRPC]
        if rows:
            endpoints = [row for row in self.table() if row.attribute.startswith("otlp_") and isinstance(row, Address)]
            authorities = [self.values[row.attribute].partition("//")[2].partition("/")[0] for row in endpoints]
            has_port = any(authority.endswith(f":{GRPC_PORT}") for authority in authorities)
            used = "HTTP" + (f", and port {HTTP_PORT} for {GRPC_PORT}" if has_port else "")
            variable = self.given.get(rows[0].attribute, rows[0].variable)
            self.problems.append(Problem(variable, GRPC, rows[0].expected, used))

    def _leave_to_sdk(self) -> Problem | None:
        """Lets go of addresses that are the intake's own: they are for the function's SDK, and nothing goes round.

        Returns:
            What is wrong where no other address is left.
        """
        left = ("", "")
        for row in self.table():
            if isinstance(row, Address) and row.attribute.startswith("otlp_"):
                shown = self._at_intake(self.values[row.attribute])
                if shown:
                    self.values[row.attribute] = ""
                    left = self.given[row.attribute], shown
        shown = self._at_intake(otlp_endpoint(self.destination) or self.destination)
        if shown or (self.destination == OTLP and not self._has_otlp):
            left = self.given["destination"], shown or self.destination
            self.values["destination"] = ""
        if not any(left) or self.has_destination:
            return None
        variable = left[0] if left[0].startswith(PREFIX) else "TAILRACE_DESTINATION"
        expected = f"{variable}=otlp+https://BACKEND, since this address is the layer's own intake"
        return Problem(*left, expected, "nothing")

    def _at_intake(self, address: str) -> str:
        """An address without what may be secret, if it is that of the intake; else ""."""
        scheme, _, rest = address.partition("://")
        host, _, port = rest.partition("/")[0].rpartition("@")[2].lower().rpartition(":")
        is_loopback = host in ("localhost", "[::1]") or host.startswith("127.")
        # What was meant for gRPC would go to HTTP's port beside it.
        is_ours = scheme.lower() in SERVERS and is_loopback and port in (str(self.otlp_port), str(GRPC_PORT))
        return f"{scheme}://{host}:{port}" if is_ours else ""

    @property
    def _has_otlp(self) -> bool:
        """Whether one of OpenTelemetry's addresses is set."""
        return bool(
            self.otlp_endpoint or self.otlp_logs_endpoint or self.otlp_traces_endpoint or self.otlp_metrics_endpoint
        )

    @property
    def has_destination(self) -> bool:
        """Whether this route leads anywhere."""
        return bool(self.destination) or self._has_otlp

    def exported_signals(self) -> "tuple[str, ...]":
        """What to make of the telemetry: what is asked for, as far as the destination takes it."""
        scheme = scheme_of(self.destination)
        if scheme is not None:
            return tuple(signal for signal in scheme.signals if signal in self.signals) or scheme.usual
        if self.signals:
            return self.signals
        own = (
            (LOGS, self.otlp_logs_endpoint),
            (TRACES, self.otlp_traces_endpoint),
            (METRICS, self.otlp_metrics_endpoint),
        )
        return tuple(signal for signal, address in own if address or self.otlp_endpoint)

    @property
    def can_hold(self) -> bool:
        """Whether the ends of functions are told to us, and before the budget is spent, so that holding makes sense."""
        return "platform" in self.types and self.buffer_ms < self.flush_budget_ms

    @property
    def batch_limit_bytes(self) -> int:
        """Largest batch the collector takes from the platform: what always fits once the backlog drains."""
        if not self.is_shared:
            return self.backlog_bytes // 2
        return max(self.backlog_bytes // SHARES, LEAST_BATCH_BYTES)

    @property
    def is_shared(self) -> bool:
        """Whether something may fill half of the backlog beside what is usual: a route that lags, or the intake."""
        return self.otlp_intake or len(self.routes) > 1

    @property
    def export_limit_bytes(self) -> int:
        """Largest OTLP request the collector takes, as it is received."""
        return min(MOST_EXPORT_BYTES, self.backlog_bytes // SHARES)

    @property
    def intake_file(self) -> str:
        """Where the address of the intake is written."""
        return f"{INTAKE_FILE}{self.otlp_port}"

    def secrets(self) -> "Iterator[str]":
        """Texts that must not appear in any line: header values, and what addresses carry beside the host.

        The environment's are those of all routes.
        """
        for route in self.routes:
            if route is not self:
                yield from route.secrets()
        for setting in self.table():
            if not setting.secret:
                continue
            value = self.values[setting.attribute]
            if isinstance(value, tuple):
                for _, text in value:
                    yield from _plain(text)
            elif isinstance(setting, Secret):
                # A name alone is no secret, and may be a word that lines need.
                yield from _plain(f"{self.user}:{value}" if value and setting.attribute == "password" else "")
                yield from _plain(value if setting.attribute == "password" else "")
            elif value:
                address, _, query = marked(value)[0].partition("?")
                user, _, place = (address.partition("//")[2] or address).rpartition("@")
                scheme = scheme_of(value) if setting.attribute == "destination" else None
                path = place.partition("/")[2] if scheme and scheme.path_is_secret else ""
                if scheme and scheme.plain:
                    pairs = (pair for pair in query.split("&") if pair.partition("=")[0] not in scheme.plain)
                    query = "&".join(pairs)
                for text in (user, user.partition(":")[2], query, path):
                    yield from _plain(text)
                    if "%" in text:  # whoever is sent it may repeat it decoded
                        yield from _plain(percent_decoded(text))


# What stands before a secret in a header, and is none.
_KINDS_OF_SECRETS = ("", "basic", "bearer", "token", "apikey", "api-key", "splunk", "api-token")


def _plain(text: str) -> "Iterator[str]":
    """What of a text is secret as it stands there: all but references, of which the mask stands for one."""
    if "{" in text:
        text = marked(text)[0]
    if REFERENCE_MARK not in text:
        yield from filter(None, (text,))
        return
    for piece in text.split(REFERENCE_MARK):
        if piece.strip(" :").lower() not in _KINDS_OF_SECRETS:
            yield piece


class Function:
    """What the platform says of the function it runs; "" where it is silent.

    Source: "Lambda environment variables", AWS Lambda developer guide.
    """

    __slots__ = ("account_id", "initialization_type", "instance_id", "memory_mb", "name", "region", "version")

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self.name = environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.version = environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.region = environ.get("AWS_REGION", "")
        self.initialization_type = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        self.account_id = ""  # from the answer to registration
        self.instance_id = ""  # chosen by the supervisor: 16 hex digits, new in every environment

    @property
    def is_managed(self) -> bool:
        """Lambda Managed Instances: no INVOKE events, no freeze, invocations interleave."""
        return self.initialization_type == "lambda-managed-instances"


def _is_server(address: str) -> bool:
    """Whether an address is one of a server, as http://HOST:PORT."""
    name, _, rest = address.partition(":")
    return name in SERVERS and SERVERS[name].fits(f":{rest}")


class Aws:
    """How AWS itself is spoken to, as the platform and AWS' own variables say it.

    Looked up when it is asked for, by whoever signs requests, and never before: of a snapshot there are many copies.

    Source: "Lambda environment variables", AWS Lambda developer guide; "Service-specific endpoints" and "Container
    credential provider", AWS SDKs and tools reference.
    """

    __slots__ = ("_given",)

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._given = environ

    @property
    def region(self) -> str:
        """The function's region; "" outside of Lambda, unless it is said."""
        return self._given.get("AWS_REGION") or self._given.get("AWS_DEFAULT_REGION", "")

    @property
    def keys(self) -> "tuple[str, str, str]":
        """Access key, secret key and session token of the function's role; "" for what there is none of."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        access_key, secret_key, token = (self._given.get(name, "") for name in names)
        return access_key, secret_key, token

    @property
    def credentials_uri(self) -> str:
        """Where keys are handed out, as with SnapStart; "" where the environment has them."""
        return self._given.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")

    @property
    def credentials_token(self) -> str:
        """What whoever asks there has to say."""
        path = self._given.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
        if path:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        return self._given.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")

    def endpoint(self, service: str) -> str:
        """Address at which a service is reached instead of its usual one; "" for none.

        Args:
            service: As the variables name it: S3, SECRETS_MANAGER, …
        """
        if self._given.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
            return ""
        found = self._given.get(f"{AWS_ENDPOINT}_{service}") or self._given.get(AWS_ENDPOINT, "")
        return found if _is_server(found) else ""
