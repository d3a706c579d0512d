"""The destination that the settings name.

Here is the precedence among the variables that may say the same thing: TAILRACE's own over OpenTelemetry's for one
signal over OpenTelemetry's for all. Only the destination in use is imported.
"""

from collections.abc import Callable

from lifecycle.contract.log import Log
from lifecycle.contract.settings import DEFAULT_OTLP_ENDPOINT, Settings
from shipper.model.signals import LOGS, METRICS, TRACES
from shipper.transport.resolver import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.destinations.http import Post
    from shipper.destinations.interfaces import Destination
    from shipper.transport.address import Address
    from shipper.transport.pool import Transport
    from shipper.transport.response import Answer

# OpenTelemetry's own default is 10 s, longer than many a function may run.
DEFAULT_TIMEOUT_MS = 5000

Heard = Callable[["Answer"], object]


def chosen(settings: Settings, wait: Wait, log: Log, heard: Heard | None = None) -> "Destination":
    """Makes the destination; connects to nothing yet.

    Args:
        settings: Of the environment.
        wait: Bounds every wait of it.
        log: The shipper's.
        heard: Takes every answer of a server, whatever is made of it.
    """
    scheme, _, rest = settings.destination.partition(":")
    if scheme in ("file", "stdout", "http", "https"):
        return _of_lines(scheme, rest, settings, wait, log, heard)
    from shipper.destinations.otlp import destination as otlp
    from shipper.model.resource import attributes

    transports: dict[tuple[str, str, int], Transport] = {}
    posts = {}
    for signal in settings.exported_signals() or (LOGS,):
        where = otlp_address(settings, signal)
        key = where.scheme, where.host, where.port
        if key not in transports:
            transports[key] = _transport(settings, where, wait, log)
        posts[signal] = _post(
            settings, where, transports[key], log, heard, signal=signal, content_type=otlp.CONTENT_TYPE
        )
    return otlp.Otlp(posts, attributes(settings))


def _of_lines(scheme: str, rest: str, settings: Settings, wait: Wait, log: Log, heard: Heard | None) -> "Destination":
    from shipper.destinations.lines import Lines

    if scheme == "file":
        from shipper.destinations.file import File

        return File(rest, Lines(settings))
    if scheme == "stdout":
        from shipper.destinations import stdout

        return stdout.Stdout(Lines(settings, stdout.LOGGER), wait)
    from shipper.destinations import ndjson
    from shipper.transport import address

    where = address.parse(settings.destination)
    transport = _transport(settings, where, wait, log)
    post = _post(settings, where, transport, log, heard, signal="", content_type=ndjson.CONTENT_TYPE)
    return ndjson.Ndjson(post, Lines(settings))


def otlp_address(settings: Settings, signal: str = LOGS) -> "Address":
    """Where OTLP of a signal goes (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP")."""
    from shipper.destinations.otlp.destination import PATHS
    from shipper.transport import address

    if settings.destination.startswith("otlp+"):
        return address.parse(settings.destination.removeprefix("otlp+"), suffix=PATHS[signal])
    own = {
        LOGS: settings.otlp_logs_endpoint,
        TRACES: settings.otlp_traces_endpoint,
        METRICS: settings.otlp_metrics_endpoint,
    }[signal]
    if own:
        return address.parse(own)
    return address.parse(settings.otlp_endpoint or DEFAULT_OTLP_ENDPOINT, suffix=PATHS[signal])


def headers(settings: Settings, *, signal: str = LOGS) -> dict[str, str]:
    """Headers for every request. OTLP's, which may hold a key to one backend, go to no other: "" is no signal of it."""
    from shipper.destinations.http import merged

    if not signal:
        return merged(settings.headers)
    own = {
        LOGS: settings.otlp_logs_headers,
        TRACES: settings.otlp_traces_headers,
        METRICS: settings.otlp_metrics_headers,
    }
    return merged(settings.otlp_headers, own[signal], settings.headers)


def is_compressed(settings: Settings, *, signal: str = LOGS) -> bool:
    """Whether bodies are gzipped; they are unless a setting says otherwise."""
    own = {
        LOGS: settings.otlp_logs_compression,
        TRACES: settings.otlp_traces_compression,
        METRICS: settings.otlp_metrics_compression,
    }
    of_otlp = own[signal] or settings.otlp_compression if signal else ""
    return (settings.compression or of_otlp or "gzip") == "gzip"


def timeout_s(settings: Settings, *, signal: str = LOGS) -> float:
    """Longest time for one request."""
    own = {
        LOGS: settings.otlp_logs_timeout_ms,
        TRACES: settings.otlp_traces_timeout_ms,
        METRICS: settings.otlp_metrics_timeout_ms,
    }
    of_signal = own[signal or LOGS]
    return (settings.request_timeout_ms or of_signal or settings.otlp_timeout_ms or DEFAULT_TIMEOUT_MS) / 1000


def _transport(settings: Settings, where: "Address", wait: Wait, log: Log) -> "Transport":
    from shipper.transport.pool import Transport
    from shipper.transport.proxy import UnusableProxyError, proxy_for

    try:
        proxy = proxy_for(where, settings.https_proxy, settings.no_proxy)
    except UnusableProxyError:
        proxy = None
        log.warning("shipper.proxy_ignored", expected="HTTPS_PROXY=[http://][USER:PASSWORD@]HOST[:PORT]")
    return Transport(where, proxy, wait, log)


def _post(
    settings: Settings,
    where: "Address",
    transport: "Transport",
    log: Log,
    heard: Heard | None,
    *,
    signal: str,
    content_type: str,
) -> "Post":
    from shipper.destinations.http import Post

    return Post(
        where,
        transport,
        headers(settings, signal=signal).items(),
        content_type=content_type,
        compress=is_compressed(settings, signal=signal),
        timeout_s=timeout_s(settings, signal=signal),
        log=log,
        heard=heard,
    )
