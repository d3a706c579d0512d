"""The kinds of destinations, by the schemes of their addresses: the one place that names them all.

Whoever must know something of a destination before it is made, or of all of them, asks here; what the settings must
know of it, before anything is loaded, stands in `lifecycle.contract.schemes`. Only the destination in use is loaded.
"""

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.schemes import OTLP
from lifecycle.contract.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shipper.destinations.destination import Destination
    from shipper.destinations.http import OnResponse
    from shipper.transport.interfaces import Timing

    Factory = Callable[[Settings, Timing, Log, OnResponse | None], Destination]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of destination.

    Attributes:
        schemes: How addresses of it begin.
        about: What it is, in a few words.
        takes: What it is sent, as a person would call it.
        load: Loads its module; returns what creates the destination.
        paths: What to know of its paths, for who is told that there is nothing at one.
    """

    schemes: tuple[str, ...]
    about: str
    takes: str
    load: "Callable[[], Factory]"
    paths: str = ""


def _otlp() -> "Factory":
    from shipper.destinations.otlp.destination import create

    return create


def _ndjson() -> "Factory":
    from shipper.destinations.ndjson import create

    return create


def _elasticsearch() -> "Factory":
    from shipper.destinations.elasticsearch import create

    return create


def _loki() -> "Factory":
    from shipper.destinations.loki import create

    return create


def _splunk() -> "Factory":
    from shipper.destinations.splunk import create

    return create


def _datadog() -> "Factory":
    from shipper.destinations.datadog import create

    return create


def _newrelic() -> "Factory":
    from shipper.destinations.newrelic import create

    return create


def _clickhouse() -> "Factory":
    from shipper.destinations.clickhouse import create

    return create


def _s3() -> "Factory":
    from shipper.destinations.s3 import create

    return create


def _firehose() -> "Factory":
    from shipper.destinations.firehose import create

    return create


def _kinesis() -> "Factory":
    from shipper.destinations.kinesis import create

    return create


def _file() -> "Factory":
    from shipper.destinations.file import create

    return create


def _stdout() -> "Factory":
    from shipper.destinations.stdout import create

    return create


KINDS = (
    Kind(
        schemes=(OTLP, "otlp+http", "otlp+https"),
        about="a receiver of OTLP",
        takes="OTLP over HTTP",
        load=_otlp,
        paths="OTEL_EXPORTER_OTLP_ENDPOINT is a base, to which /v1/logs, /v1/traces and /v1/metrics are appended; the "
        "variables for one signal are used as they are.",
    ),
    Kind(
        schemes=("http", "https"),
        about="any HTTP intake for JSON",
        takes="JSON objects, a line each or in an array",
        load=_ndjson,
    ),
    Kind(
        schemes=("elasticsearch+http", "elasticsearch+https", "opensearch+http", "opensearch+https"),
        about="a data stream in Elasticsearch or OpenSearch",
        takes="documents by _bulk",
        load=_elasticsearch,
    ),
    Kind(
        schemes=("loki+http", "loki+https"),
        about="Grafana Loki",
        takes="entries by Loki's push API",
        load=_loki,
    ),
    Kind(
        schemes=("splunk+http", "splunk+https"),
        about="Splunk's HTTP Event Collector",
        takes="events for Splunk's HTTP Event Collector",
        load=_splunk,
    ),
    Kind(
        schemes=("datadog+http", "datadog+https"),
        about="Datadog's intake for logs",
        takes="logs for Datadog's API v2",
        load=_datadog,
    ),
    Kind(
        schemes=("newrelic+http", "newrelic+https"),
        about="New Relic's Log API",
        takes="logs for New Relic's Log API",
        load=_newrelic,
    ),
    Kind(
        schemes=("clickhouse+http", "clickhouse+https"),
        about="a table in ClickHouse",
        takes="rows by INSERT",
        load=_clickhouse,
    ),
    Kind(schemes=("s3",), about="a bucket in S3", takes="objects of JSON lines", load=_s3),
    Kind(
        schemes=("firehose",), about="a stream of Amazon Data Firehose", takes="records of JSON lines", load=_firehose
    ),
    Kind(schemes=("kinesis",), about="a Kinesis data stream", takes="records of JSON lines", load=_kinesis),
    Kind(schemes=("file",), about="a file", takes="a JSON object a line", load=_file),
    Kind(schemes=("stdout",), about="standard output", takes="a JSON object a line", load=_stdout),
)

BY_SCHEME = {scheme: kind for kind in KINDS for scheme in kind.schemes}


def kind_of(settings: Settings) -> Kind:
    """The kind of the destination that the settings name: OTLP's, where OTLP's own variables do."""
    scheme = settings.destination.partition(":")[0]
    return BY_SCHEME[scheme or OTLP]


def create(settings: Settings, timing: "Timing", log: Log, on_response: "OnResponse | None" = None) -> "Destination":
    """Makes the destination that the settings name; connects to nothing yet.

    Args:
        settings: Of the environment.
        timing: Bounds every wait of it.
        log: The shipper's.
        on_response: Takes every answer of a server, whatever is made of it.
    """
    return kind_of(settings).load()(settings, timing, log, on_response)


def load(settings: Settings) -> None:
    """Loads what the destination needs to write records."""
    _unused(settings).load()


def warm(settings: Settings) -> None:
    """Loads all that the destination may ever need, where init is on nobody's path."""
    destination = _unused(settings)
    destination.warm()
    destination.close()


def _unused(settings: Settings) -> "Destination":
    return create(settings, _NoTime(), Log("shipper", "error", write=lambda _line: None))


class _NoTime:
    """The timing of a destination that sends nothing."""

    is_final = False

    def time_left_s(self) -> float:
        """None."""
        return 0.0

    def wait(self, fd: int, events: int, until: float) -> int:
        """Does not."""
        del fd, events, until
        return 0
