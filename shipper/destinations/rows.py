"""Log records as rows for archives and streams: lines of JSON that every reader takes for one table.

The columns are the same in each line, and of the same type: what a line of the function says beside its message stands
in one map of texts, so that no two lines disagree about a column.
"""

import time

import msgspec

from lifecycle.contract.settings import Settings
from shipper.destinations.fields import FieldNames, Fields, members_of, message_of, resource_fields, text_of
from shipper.model import semconv
from shipper.model.log_record import Encoder, LogRecord
from shipper.model.resource import service_name

# A row begins with what a request is named by, at places that are always the same.
_UID_AT = len('{"uid":"')
_TIME_BEHIND_UID = len('","time":"')
_HOUR_LENGTH = len("2026-01-02T03")
_MOMENT_LENGTH = len("2026-01-02T03:04:05.123")

_NAMES = FieldNames(
    event_type="event_type",
    request_id="request_id",
    error_type="error_type",
    error_message="error_message",
    error_stack="error_stack",
    uid="",
)

# What of the function is a column; the rest is in a map.
_COLUMNS = {
    "function": semconv.FAAS_NAME,
    "version": semconv.FAAS_VERSION,
    "instance": semconv.FAAS_INSTANCE,
    "region": semconv.CLOUD_REGION,
    "account": semconv.CLOUD_ACCOUNT_ID,
}

_NS_PER_S = 1_000_000_000

_to_json = msgspec.json.Encoder().encode


class Rows(Encoder):
    """Writes log records as rows.

    Args:
        settings: Say what function and service this is.
    """

    def __init__(self, settings: Settings) -> None:
        found = {name: str(value) for name, value in resource_fields(settings).items()}
        known = {"service": service_name(settings)}
        known |= {column: found.pop(name) for column, name in _COLUMNS.items() if name in found}
        found.pop(semconv.SERVICE_NAME, None)
        self._tail = b",%b}\n" % _to_json({**known, "resource": found})[1:-1]
        self._fields = Fields(_NAMES)

    def log(self, record: LogRecord) -> bytes:
        """One row, newline included."""
        second, ns = divmod(record.time_ns or record.origin.observed_ns, _NS_PER_S)
        moment = time.strftime(f"%Y-%m-%dT%H:%M:%S.{ns:09}Z", time.gmtime(second))
        head = f'{{"uid":"{record.uid}","time":"{moment}","message":'.encode()
        pieces = [head, message_of(record)]
        own = members_of(self._fields(record))
        if own:
            pieces += [b",", own]
        said = members_of((name, text_of(raw)) for name, raw in self._fields.of_line(record))
        return b"".join((*pieces, b',"attributes":{%b}' % said, self._tail))


def uid_of(row: bytes) -> str:
    """The id in a row."""
    return row[_UID_AT : row.index(b'"', _UID_AT)].decode()


def moment_of(row: bytes) -> str:
    """When it was written, in milliseconds: 2026-01-02T03:04:05.123."""
    at = row.index(b'"', _UID_AT) + _TIME_BEHIND_UID
    return row[at : at + _MOMENT_LENGTH].decode()
