"""S3: an object a request, of rows as lines of JSON, compressed, in partitions that Hive, Athena and DuckDB know.

An object is named by the first record in it. Whatever is sent again after a lost answer begins with that very record,
since all that is behind it is sent again, too: so it overwrites itself, and no reader finds it twice.

Source: Amazon S3 API reference, "PutObject"; "Bucket naming rules".
"""

from functools import partial

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.auth.aws import Scope, address_of, region_of
from shipper.auth.sigv4 import encoded
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.destinations.destination import Destination, Endpoint, of_records
from shipper.destinations.http import OnResponse, Place, Senders, outcome_of, place_of
from shipper.destinations.rows import Rows, moment_of, uid_of
from shipper.model.log_record import LogRecord
from shipper.model.resource import service_name
from shipper.transport.address import Address
from shipper.transport.request import gzipped, joined
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipper.transport.interfaces import Timing

_NS_PER_S = 1_000_000_000

# A line that says to be further off than this from when it came is filed under the latter: it would have an object of
# its own, in a partition that nobody looks into.
_MOST_OFF_NS = 86_400 * _NS_PER_S

# A name may be 1024 bytes; so much of it is the service's.
_MOST_SERVICE = 128

_OK = 200
_CONFLICT = 409
_ELSEWHERE = (301, 307, 308, 400)


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like s3://BUCKET/PREFIX; see `registry.create`."""
    rest, _, query = settings.destination.partition("://")[2].partition("?")
    bucket, _, prefix = rest.partition("/")
    region = region_of(query, settings.aws, log)
    place = place_of(settings, _address(settings, bucket, prefix.strip("/"), region))
    scope, reader = Scope("s3", region), partial(read, region=region)
    sender = Senders(settings, timing, log, on_response).sender(place, reader, scope=scope)
    objects = Objects(place, service_name(settings), settings.function.instance_id)
    return of_records(settings, PartitionedRows(settings), lambda signal: Endpoint(objects, sender.of(signal)))


def _address(settings: Settings, bucket: str, prefix: str, region: str) -> Address:
    """Where a bucket is: in the host's name, or in the path where no certificate fits that, or a server is said."""
    server = address_of(settings.aws, "s3", variable="S3", region=region)
    path = f"/{encoded(prefix, kept='/')}" if prefix else ""
    if settings.aws.endpoint("S3") or "." in bucket:
        path = f"{server.target.rstrip('/')}/{encoded(bucket)}{path}"
    else:
        server = msgspec.structs.replace(server, host=f"{bucket}.{server.host}")
    return msgspec.structs.replace(server, target=path or "/")


class PartitionedRows(Rows):
    """Rows, of which those of one hour go together."""

    def key(self, record: LogRecord) -> str:
        """The hour that a record is filed under, as 2026-01-02T03."""
        import time

        observed_ns = record.origin.observed_ns
        time_ns = record.time_ns or observed_ns
        if abs(time_ns - observed_ns) > _MOST_OFF_NS:
            time_ns = observed_ns
        return time.strftime("%Y-%m-%dT%H", time.gmtime(time_ns // _NS_PER_S))


class Objects:
    """Makes objects of rows.

    Args:
        place: The bucket, and what their names begin with.
        service: Whose they are.
        instance: Of which environment.
    """

    def __init__(self, place: Place, service: str, instance: str) -> None:
        self._is_compressed = place.is_compressed
        # Hive writes a partition as name=value, and S3 wants the sign percent-encoded.
        self._start = f"{place.address.target.rstrip('/')}/service%3D{encoded(encoded(service[:_MOST_SERVICE]))}"
        self._instance = encoded(instance)
        kind = "application/gzip" if place.is_compressed else "application/x-ndjson"
        self._headers = (("Content-Type", kind),)

    def __call__(self, items: "Sequence[bytes]", key: str = "") -> Request:
        """An object of some rows of one hour."""
        first = items[0]
        moment = moment_of(first)
        day, _, hour = (key or moment[: len("2026-01-02T03")]).partition("T")
        name = f"{moment.replace(':', '').replace('-', '')}Z-{self._instance}-{uid_of(first)}.ndjson"
        body = (gzipped if self._is_compressed else joined)(b"", items, b"", b"")
        return Request(
            method="PUT",
            target=f"{self._start}/dt%3D{day}/hour%3D{hour}/{name}{'.gz' if self._is_compressed else ''}",
            body=body,
            body_bytes=sum(map(len, items)),
            items=len(items),
            headers=self._headers,
        )


def read(request: Request, response: Response, *, region: str) -> Outcome:
    """What became of an object that was sent to a region."""
    del request
    if response.status == _OK and response.headers.get(b"etag"):  # some that speak S3 call an empty body a page
        return DONE
    outcome = outcome_of(response)
    if response.status == _CONFLICT:
        return Outcome(verdict=Verdict.RETRY, reason="status_409")
    other = response.headers.get(b"x-amz-bucket-region", b"").decode("latin-1")
    if other not in ("", region) and response.status in _ELSEWHERE:
        return Outcome(
            verdict=Verdict.HELD, reason="other_region", said=f"the bucket is in {other}: add ?region={other}"
        )
    return outcome
