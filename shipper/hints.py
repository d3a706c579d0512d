"""What a person can do about a record that was not taken: by the status of the answer, or by why there was none."""

from shipper.delivery.outcome import Outcome
from shipper.transport.response import Answer

# By the first digits of the status: the longest that is known counts.
_ANSWERED = {
    "3": "It has moved: name the place it moved to.",
    "400": "It was understood and refused: is the address one for {takes}, and does it want other headers?",
    "401": "The key is missing or wrong: are the headers the ones it wants, and is the key whole?",
    "403": "The key may not send here: is it one for ingestion, of this account and this region? A firewall before the "
    "backend answers so, too.",
    "404": "There is nothing at that path.{paths}",
    "405": "Nothing there takes POST: is the path right?{paths}",
    "413": "Even one record is too large for it: is the address one for {takes}?",
    "415": "It does not take this encoding: is the address one for {takes}?",
    "429": "It takes no more for now: is a quota used up?",
    "5": "That is the backend's own trouble, or that of a proxy before it: try again.",
}

_PATHS = (
    " OTEL_EXPORTER_OTLP_ENDPOINT is a base, to which /v1/logs, /v1/traces and /v1/metrics are appended; the variables "
    "for one signal are used as they are."
)

_NO_HTTP = "What listens there does not speak HTTP: OTLP over HTTP is usually at port 4318, and gRPC at 4317."

_NOT_ANSWERED = {
    "resolve": "No address is known for that host: is its name right, and can it be reached from here?",
    "connect": "Nothing accepts connections there: are host and port right, and is the way there open?",
    "timeout": "No answer in time: is a firewall or a missing route in the way?",
    "certificate": "The server's certificate is not trusted here: is the host's name right? SSL_CERT_FILE may name a "
    "private authority's certificate.",
    "tls": "That is not TLS, or not a version of it that is taken here: should the address begin with http:// rather "
    "than https://?",
    "proxy": "The proxy does not let it through: is HTTPS_PROXY right, user and password included?",
    "broken_answer": _NO_HTTP,
    "closed": f"It hung up. {_NO_HTTP} A server that wants TLS needs https://.",
    "reset": f"It hung up. {_NO_HTTP} A server that wants TLS needs https://.",
    "file_eacces": "That file may not be written by this user.",
    "file_erofs": "That file lies where nothing can be written; on Lambda /tmp alone can.",
}


# It may be a server of TLS that is spoken to without, or the other way round.
_SILENT = "It took the connection and then said nothing: are the port and http:// or https:// the right ones?"


def hint(outcome: Outcome, answer: Answer | None, *, is_otlp: bool) -> str:
    """What to look at; "" if nothing comes to mind."""
    if outcome.reason == "timeout" and outcome.detail == "receiving":
        return _SILENT
    if answer is None:
        return _NOT_ANSWERED.get(outcome.reason, "")
    status = str(answer.status)
    text = _ANSWERED.get(status) or _ANSWERED.get(status[:1], "")
    return text.format(takes="OTLP as JSON" if is_otlp else "lines of JSON", paths=_PATHS if is_otlp else "")
