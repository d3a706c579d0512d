"""The destination that the settings name.

Here is the precedence among the variables that may say the same thing: TAILRACE's own over OpenTelemetry's for
logs over OpenTelemetry's for all signals.
"""

from lifecycle.log import Log
from lifecycle.settings import DEFAULT_OTLP_ENDPOINT, Settings
from shipper import address
from shipper.address import Address
from shipper.destinations import ndjson, otlp, stdout
from shipper.destinations.base import Destination
from shipper.destinations.file import File
from shipper.destinations.lines import Lines
from shipper.destinations.ndjson import Ndjson
from shipper.destinations.otlp import Otlp
from shipper.destinations.post import Post, merged
from shipper.destinations.resource import attributes
from shipper.destinations.stdout import Stdout
from shipper.names import Wait
from shipper.proxies import UnusableProxyError, proxy_for
from shipper.transport import Transport

# OpenTelemetry's own default is 10 s, longer than many a function may run.
DEFAULT_TIMEOUT_MS = 5000


def chosen(settings: Settings, wait: Wait, log: Log) -> Destination:
    """Makes the destination; connects to nothing yet.

    Args:
        settings: Of the environment.
        wait: Bounds every wait of it.
        log: The shipper's.
    """
    scheme, _, rest = settings.destination.partition(":")
    if scheme == "file":
        return File(rest, Lines(settings))
    if scheme == "stdout":
        return Stdout(Lines(settings, stdout.LOGGER), wait)
    if scheme in ("http", "https"):
        where = address.parse(settings.destination)
        post = _post(settings, where, wait, log, is_otlp=False, content_type=ndjson.CONTENT_TYPE)
        return Ndjson(post, Lines(settings))
    where = otlp_address(settings)
    post = _post(settings, where, wait, log, is_otlp=True, content_type=otlp.CONTENT_TYPE)
    return Otlp(post, attributes(settings))


def otlp_address(settings: Settings) -> Address:
    """Where OTLP logs go (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP")."""
    if settings.destination.startswith("otlp+"):
        return address.parse(settings.destination.removeprefix("otlp+"), suffix=otlp.PATH)
    if settings.otlp_logs_endpoint:
        return address.parse(settings.otlp_logs_endpoint)
    return address.parse(settings.otlp_endpoint or DEFAULT_OTLP_ENDPOINT, suffix=otlp.PATH)


def headers(settings: Settings, *, is_otlp: bool) -> dict[str, str]:
    """Headers for every request. OTLP's, which may hold a key to one backend, go to no other."""
    if is_otlp:
        return merged(settings.otlp_headers, settings.otlp_logs_headers, settings.headers)
    return merged(settings.headers)


def is_compressed(settings: Settings, *, is_otlp: bool) -> bool:
    """Whether bodies are gzipped; they are unless a setting says otherwise."""
    of_otlp = settings.otlp_logs_compression or settings.otlp_compression if is_otlp else ""
    return (settings.compression or of_otlp or "gzip") == "gzip"


def timeout_s(settings: Settings) -> float:
    """Longest time for one request."""
    timeout_ms = settings.request_timeout_ms or settings.otlp_logs_timeout_ms or settings.otlp_timeout_ms
    return (timeout_ms or DEFAULT_TIMEOUT_MS) / 1000


def _post(settings: Settings, where: Address, wait: Wait, log: Log, *, is_otlp: bool, content_type: str) -> Post:
    try:
        proxy = proxy_for(where, settings.https_proxy, settings.no_proxy)
    except UnusableProxyError:
        proxy = None
        log.warning("shipper.proxy_ignored", expected="HTTPS_PROXY=[http://][USER:PASSWORD@]HOST[:PORT]")
    return Post(
        where,
        Transport(where, proxy, wait, log),
        headers(settings, is_otlp=is_otlp).items(),
        content_type=content_type,
        compress=is_compressed(settings, is_otlp=is_otlp),
        timeout_s=timeout_s(settings),
        log=log,
    )
