"""The destinations there are, by the scheme of their address: what settings must know before anything is loaded.

What a scheme comes to is the registry's (`shipper/destinations/registry.py`), which has the same schemes: a test holds
the two equal.

Runs before the first call to the platform, so it imports nothing.
"""

LOGS = "logs"
TRACES = "traces"
METRICS = "metrics"
EVERY_SIGNAL = (LOGS, TRACES, METRICS)

# Encodings of OTLP over HTTP, as `OTEL_EXPORTER_OTLP_PROTOCOL` names them.
PROTOBUF, JSON = "http/protobuf", "http/json"

# Of a destination that takes records: spans are some, where they are asked for.
RECORDS = (LOGS, TRACES)

# What of an event's metadata an address of Splunk's may say: words of its answers, too.
HEC_METADATA = ("index", "source", "sourcetype", "host")

_SERVER = "://HOST[:PORT][/PATH]"
_STREAM = "://HOST[:PORT]/DATA-STREAM"
_BUCKET = "://BUCKET[/PREFIX][?region=REGION]"
_NAMED = "://STREAM[?region=REGION]"
_WITHOUT_PATH = (_SERVER, _BUCKET, _NAMED)
_TABLE = "://HOST[:PORT]/[DATABASE/]TABLE"


class Scheme:
    """One way to write a destination.

    Attributes:
        form: What follows the scheme's name, as one writes it for people: nothing, `:`, `:PATH`, or `://HOST…`.
        signals: What the destination takes.
        usual: What of these it is sent where nothing else is asked for.
        keys: Headers of which one says who sends, where there must be one; a user in the address is another way.
        path_is_secret: The path is a key, as a webhook's, and appears in no line.
        plain: Parameters of the address that are no secrets, as any other may be.
        flush: When to ship by default; `interval` where many small requests are dear: object stores and streams.
        flush_interval_ms: How old a record may get by default; 0: as anywhere.
    """

    __slots__ = ("flush", "flush_interval_ms", "form", "keys", "path_is_secret", "plain", "signals", "usual")

    def __init__(
        self,
        form: str,
        signals: "tuple[str, ...]",
        usual: "tuple[str, ...]" = (),
        *,
        keys: "tuple[str, ...]" = (),
        path_is_secret: bool = False,
        plain: "tuple[str, ...]" = (),
        flush: str = "adaptive",
        flush_interval_ms: int = 0,
    ) -> None:
        self.flush = flush
        self.flush_interval_ms = flush_interval_ms
        self.form = form
        self.signals = signals
        self.usual = usual or signals
        self.keys = keys
        self.path_is_secret = path_is_secret
        self.plain = plain

    def fits(self, rest: str) -> bool:
        """Whether `rest`, all behind the scheme's name, has this form."""
        if self.form.startswith("://"):
            path = rest[3:].partition("?")[0].partition("/")[2]
            return (
                rest.startswith("://")
                and is_authority(rest[3:])
                and (bool(path) or self.form in (_SERVER, _BUCKET, _NAMED))
            )
        if self.form == ":PATH":
            return rest.startswith(":") and len(rest) > 1
        return rest == self.form


# The destination that OpenTelemetry's own variables name.
OTLP = "otlp"

SCHEMES = {
    OTLP: Scheme("", EVERY_SIGNAL),
    "otlp+http": Scheme(_SERVER, EVERY_SIGNAL),
    "otlp+https": Scheme(_SERVER, EVERY_SIGNAL),
    "http": Scheme(_SERVER, RECORDS, (LOGS,), path_is_secret=True),
    "https": Scheme(_SERVER, RECORDS, (LOGS,), path_is_secret=True),
    "elasticsearch+http": Scheme(_STREAM, RECORDS, (LOGS,)),
    "elasticsearch+https": Scheme(_STREAM, RECORDS, (LOGS,)),
    "opensearch+http": Scheme(_STREAM, RECORDS, (LOGS,)),
    "opensearch+https": Scheme(_STREAM, RECORDS, (LOGS,)),
    "loki+http": Scheme(_SERVER, RECORDS, (LOGS,)),
    "loki+https": Scheme(_SERVER, RECORDS, (LOGS,)),
    "splunk+http": Scheme(_SERVER, RECORDS, (LOGS,), keys=("Authorization",), plain=HEC_METADATA),
    "splunk+https": Scheme(_SERVER, RECORDS, (LOGS,), keys=("Authorization",), plain=HEC_METADATA),
    "datadog+http": Scheme(_SERVER, RECORDS, (LOGS,), keys=("DD-API-KEY",)),
    "datadog+https": Scheme(_SERVER, RECORDS, (LOGS,), keys=("DD-API-KEY",)),
    "newrelic+http": Scheme(_SERVER, RECORDS, (LOGS,), keys=("Api-Key", "License-Key")),
    "newrelic+https": Scheme(_SERVER, RECORDS, (LOGS,), keys=("Api-Key", "License-Key")),
    "clickhouse+http": Scheme(_TABLE, RECORDS, (LOGS,)),
    "clickhouse+https": Scheme(_TABLE, RECORDS, (LOGS,)),
    "s3": Scheme(_BUCKET, RECORDS, (LOGS,), flush="interval", flush_interval_ms=60_000),
    "firehose": Scheme(_NAMED, RECORDS, (LOGS,), flush="interval"),
    "kinesis": Scheme(_NAMED, RECORDS, (LOGS,), flush="interval"),
    "file": Scheme(":PATH", (LOGS,)),
    "stdout": Scheme(":", (LOGS,)),
}


class Preset:
    """What is fixed at one backend's receiver of OTLP: known by its host, so that nothing need be said of it.

    Attributes:
        name: The backend's.
        starts: What the host begins with.
        end: What it ends with.
        keys: Headers that it takes nothing without, each.
        path: Of its base address, where one without a path is no receiver.
    """

    __slots__ = ("end", "keys", "name", "path", "starts")

    def __init__(self, name: str, starts: str, end: str, keys: "tuple[str, ...]", path: str = "") -> None:
        self.name = name
        self.starts = starts
        self.end = end
        self.keys = keys
        self.path = path


PRESETS = (
    Preset("Grafana Cloud", "otlp-gateway-", ".grafana.net", ("Authorization",), "/otlp"),
    Preset("Honeycomb", "api.", ".honeycomb.io", ("x-honeycomb-team",)),
    Preset("Datadog", "otlp.", ".datadoghq.com", ("dd-api-key",)),
    Preset("Datadog", "otlp.", ".datadoghq.eu", ("dd-api-key",)),
    Preset("Datadog", "otlp.", ".ddog-gov.com", ("dd-api-key",)),
    Preset("New Relic", "", "otlp.nr-data.net", ("api-key",)),
    Preset("New Relic", "otlp.", ".nr-data.net", ("api-key",)),
    Preset("Dash0", "ingress.", ".dash0.com", ("Authorization",)),
    Preset("Axiom", "api.", ".axiom.co", ("Authorization", "X-Axiom-Dataset")),
    Preset("Dynatrace", "", ".live.dynatrace.com", ("Authorization",), "/api/v2/otlp"),
    Preset("SigNoz", "ingest.", ".signoz.cloud", ("signoz-ingestion-key",)),
)

# Of OpenTelemetry's own settings.
SERVERS = {name: Scheme(_SERVER, EVERY_SIGNAL) for name in ("http", "https")}


def scheme_of(address: str) -> "Scheme | None":
    """The scheme of a destination's address; None: there is none such."""
    return SCHEMES.get(address.partition(":")[0])


def otlp_endpoint(address: str) -> "str | None":
    """The receiver of OTLP that a destination names; "": OTLP's own variables do. None: it is no OTLP."""
    if address in ("", OTLP):
        return ""
    return address[len(OTLP) + 1 :] if address.startswith(f"{OTLP}+") else None


def preset_of(address: str) -> "Preset | None":
    """What is known of the host of `SCHEME://HOST…`; None: nothing."""
    text = address.partition("//")[2].lower()
    for end in "/?#":
        text = text.partition(end)[0]
    host = text.rpartition("@")[2].partition(":")[0]
    for preset in PRESETS:
        # The shortest such host has one dot for both.
        if host.endswith(preset.end) and host.startswith(preset.starts) and len(host) >= len(preset.end):
            return preset
    return None


def forms(schemes: "dict[str, Scheme]") -> str:
    """How a destination may be written, for people."""
    texts = []
    for name, scheme in schemes.items():
        if name.endswith("s") and name[:-1] in schemes:
            continue
        texts.append(f"{name}(s){scheme.form}" if name + "s" in schemes else name + scheme.form)
    *others, last = texts
    return f"{', '.join(others)} or {last}" if others else last


def is_authority(text: str) -> bool:
    """Whether `text` begins with `[USER@]HOST[:PORT]` whose port, if any, is one (RFC 3986, section 3.2)."""
    for end in "/?#":
        text = text.partition(end)[0]
    host = text.rpartition("@")[2]
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        return len(name) > 2 and bool(bracket) and (not port or (is_port(port[1:]) and port[0] == ":"))  # noqa: PLR2004
    name, colon, port = host.partition(":")
    return bool(name) and (not colon or is_port(port))


def is_port(text: str) -> bool:
    """Whether `text` is a TCP port number one can connect to."""
    return text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536  # noqa: PLR2004
