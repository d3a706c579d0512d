"""Amazon Data Firehose: rows as lines of JSON, packed into records of a delivery stream."""

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.delivery.interfaces import Limits
from shipper.destinations.destination import Destination
from shipper.destinations.http import OnResponse
from shipper.destinations.rows import Rows
from shipper.destinations.streams import Stream, destination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

# Of a request 4 MiB and 500 records, of a record 1000 KiB. Records are paid for in steps of 5 KB, so they are large
# enough for that not to count; of these, no request has 500.
STREAM = Stream(
    service="firehose",
    variable="FIREHOSE",
    operation="Firehose_20150804.PutRecordBatch",
    name="DeliveryStreamName",
    limits=Limits(request_bytes=4_000_000, item_bytes=1_000_000),
    pack_bytes=64_000,
)


def create(settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> Destination:
    """The destination of an address like firehose://STREAM; see `registry.create`."""
    return destination(settings, timing, log, on_response, stream=STREAM, encoder=Rows(settings))
