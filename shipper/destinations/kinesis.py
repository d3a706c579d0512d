"""Amazon Kinesis Data Streams: rows as lines of JSON, packed into records; those of an invocation go to one shard."""

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits
from shipper.destinations.destination import Destination
from shipper.destinations.http import OnResponse
from shipper.destinations.rows import Rows
from shipper.destinations.streams import Stream, destination
from shipper.model.log_record import LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# Of a request 5 MiB and 500 records, of a record 1 MiB, with its key: what older streams take, too. Records are paid
# for in steps of 25 KB.
STREAM = Stream(
    service="kinesis",
    variable="KINESIS",
    operation="Kinesis_20131202.PutRecords",
    name="StreamName",
    limits=Limits(request_bytes=5_000_000, request_items=500, item_bytes=1_000_000),
    pack_bytes=25_000,
    has_keys=True,
)

_MOST_KEY = 128


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like kinesis://STREAM; see `registry.create`."""
    return destination(settings, timing, log, on_response, stream=STREAM, encoder=KeyedRows(settings))


class KeyedRows(Rows):
    """Rows, each behind a line with its partition key: the invocation's, or where there is none the environment's.

    Args:
        settings: Say what function and environment this is.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._usual = settings.function.instance_id or settings.function.name or "tailrace"

    def log(self, record: LogRecord) -> bytes:
        """Key and row."""
        key = (record.origin.request_id or self._usual)[:_MOST_KEY].replace("\n", " ")
        return b"%b\n%b" % (key.encode("utf-8", "replace"), super().log(record))
