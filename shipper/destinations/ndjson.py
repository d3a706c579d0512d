"""Newline-delimited JSON by POST: for any HTTP intake that takes JSON lines."""

from lifecycle.contract.log import Log
from lifecycle.contract.settings import Settings
from shipper.destinations.destination import Destination, Endpoint
from shipper.destinations.http import Bodies, Listener, Senders, by_status, place_of
from shipper.destinations.lines import Lines
from shipper.model.signals import LOGS
from shipper.transport import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.transport.interfaces import Timing

CONTENT_TYPE = "application/x-ndjson"


def made(settings: Settings, timing: "Timing", log: Log, heard: Listener | None = None) -> Destination:
    """The destination of an address like https://…; see `registry.chosen`."""
    place = place_of(settings, address.parse(settings.destination))
    sender = Senders(settings, timing, log, heard).sender(place, by_status)
    return Destination(Lines(settings), {LOGS: Endpoint(Bodies(place, CONTENT_TYPE), sender)})
