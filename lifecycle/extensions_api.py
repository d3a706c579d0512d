"""Extensions, Telemetry and Logs API: requests built, answers read. Sans-I/O.

Runs before the first call to the platform, so it imports nothing: requests are put together from bytes, and the
few facts that are needed at once are found in answers without a JSON library. That is loaded when events come.

Sources: "Lambda Extensions API", "Lambda Telemetry API reference" and "Using the Lambda Logs API", AWS Lambda developer
guide.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.settings import Settings

EXTENSION_PATH = "/2020-01-01/extension"
TELEMETRY_PATH = "/2022-07-01/telemetry"
LOGS_PATH = "/2020-08-15/logs"

# Understood by classic and managed environments alike; required on the latter.
TELEMETRY_SCHEMA = "2025-01-29"

# The superseded API's later schema, which has platform.runtimeDone.
LOGS_SCHEMA = "2021-03-18"

# The name by which the platform reaches a listener inside the environment.
SANDBOX_HOST = "sandbox.localdomain"

# Answers of the local API are a few hundred bytes; more is not an answer.
MOST_ANSWER_BYTES = 262_144
MOST_LENGTH_DIGITS = 8
STATUS_DIGITS = 3

STATUS_OK = 200

# Telemetry API reference: local emulators answer 202, nothing will ever be delivered.
STATUS_UNSUPPORTED = 202


class LocalApiError(Exception):
    """The platform's answer is not HTTP, or the platform went away in the middle of it."""


class HungUpError(LocalApiError):
    """The platform, or what is between, closed the connection before the answer was whole."""


class Answer:
    """One HTTP answer.

    Attributes:
        status: HTTP status.
        headers: Values by lower-case name.
        body: Body, decoded from chunks where there were any.
        keeps: Whether the connection may be used again.
    """

    __slots__ = ("body", "headers", "keeps", "status")

    def __init__(self, status: int, headers: "dict[str, str]", body: bytes, *, keeps: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.keeps = keeps


def text_member(body: bytes, name: str) -> str:
    """The first string in a JSON text that follows `"name":`; "" when there is none.

    Meant for the flat objects of the local API, whose strings of interest need no unescaping.
    """
    _, found, rest = body.partition(b'"' + name.encode() + b'"')
    rest = rest.lstrip()
    if not found or rest[:1] != b":":
        return ""
    rest = rest[1:].lstrip()
    if rest[:1] != b'"':
        return ""
    return rest[1:].partition(b'"')[0].decode("utf-8", "replace")


class AnswerReader:
    """Reads one answer at a time out of bytes that arrive in any portions."""

    def __init__(self) -> None:
        self._received = b""

    def receive(self, data: bytes) -> "Answer | None":
        """Takes what arrived, b"" for the end of the stream.

        Returns:
            The answer once it is whole.

        Raises:
            LocalApiError: The bytes are not an HTTP answer, or end within one.
        """
        self._received += data
        if len(self._received) > MOST_ANSWER_BYTES:
            raise LocalApiError(f"answer of {len(self._received)} bytes, expected at most {MOST_ANSWER_BYTES}")
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank:
            if not data:
                raise HungUpError(f"connection closed after {len(head)} bytes, expected an answer's header")
            return None
        version, status, headers = _head(head)
        ended = not data
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = _chunked(rest)
        elif "content-length" in headers:
            length = _number(headers["content-length"], 10)
            body = rest[:length] if len(rest) >= length else None
        else:
            body = rest if ended else None
        if body is None:
            if ended:
                raise HungUpError(f"connection closed after {len(rest)} bytes of an answer's body")
            return None
        self._received = b""
        # RFC 9112, section 9.3: HTTP/1.0 ends a connection with its answer unless it says otherwise.
        connection = headers.get("connection", "").lower()
        keeps = not ended and "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        return Answer(status, headers, body, keeps=keeps)


def _head(head: bytes) -> "tuple[str, int, dict[str, str]]":
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    status = words[1] if len(words) > 1 else ""
    if not words[0].startswith("HTTP/1.") or not (
        status.isascii() and status.isdigit() and len(status) == STATUS_DIGITS
    ):
        raise LocalApiError(f"got {first[:60]!r}, expected an HTTP/1 status line")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return words[0], int(status), headers


def _chunked(rest: bytes) -> "bytes | None":
    """The body out of chunks, or None until the last one is there (RFC 9112, section 7.1)."""
    body = b""
    while True:
        line, ending, rest = rest.partition(b"\r\n")
        if not ending:
            return None
        size = _number(line.partition(b";")[0].decode("latin-1").strip(), 16)
        if size == 0:
            return body if rest.startswith(b"\r\n") or b"\r\n\r\n" in rest else None
        if len(rest) < size + 2:
            return None
        body += rest[:size]
        rest = rest[size + 2 :]


class PlatformEvent:
    """What /next was answered with, read leniently: a member of another type is a missing one.

    Attributes:
        kind: `INVOKE`, `SHUTDOWN`, or whatever else there may be one day.
        deadline_epoch_ms: When the function times out, or SIGKILL comes.
        request_id: Of the invocation.
        shutdown_reason: In lower case: documentation prints upper case, Lambda sends lower.
    """

    __slots__ = ("deadline_epoch_ms", "kind", "request_id", "shutdown_reason")

    def __init__(self, body: bytes) -> None:
        """Reads the body of an answer.

        Raises:
            LocalApiError: It is not a JSON object.
        """
        import msgspec  # names of a module in an import take ten times as long, with each invocation

        try:
            members = msgspec.json.decode(body, type=dict)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise LocalApiError(str(exc)) from exc
        except RecursionError:  # what it says is found all the same, as far as it is text
            members = {name: text_member(body, name) for name in ("eventType", "requestId", "shutdownReason")}
        deadline = members.get("deadlineMs")
        self.kind = _text(members.get("eventType"))
        self.deadline_epoch_ms = deadline if isinstance(deadline, int | float) else 0
        self.request_id = _text(members.get("requestId"))
        self.shutdown_reason = _text(members.get("shutdownReason")).lower()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


_DIGITS = {10: "0123456789", 16: "0123456789abcdefABCDEF"}


def _number(text: str, base: int) -> int:
    # int() alone would also take "1_0", "+1" and other scripts' digits.
    is_usual = base == 10 and text.isascii() and text.isdigit()  # noqa: PLR2004 - decimal
    if not (0 < len(text) <= MOST_LENGTH_DIGITS and (is_usual or all(digit in _DIGITS[base] for digit in text))):
        raise LocalApiError(f"got length {text[:40]!r}, expected a number")
    return int(text, base)


class Requests:
    """Builds the requests one extension sends.

    Args:
        host_port: `AWS_LAMBDA_RUNTIME_API`.

    Attributes:
        identifier: What registration answered; part of every later request.
    """

    def __init__(self, host_port: str) -> None:
        self._host_port = host_port
        self.identifier = ""
        # The question that is asked again and again, by the identifier in it.
        self._next: tuple[str | None, bytes] = (None, b"")

    def register(self, name: str, events: "tuple[str, ...]") -> bytes:
        """Registration under `name`, the file's name in /opt/extensions, for `events`."""
        body = '{"events":[' + ",".join(f'"{event}"' for event in events) + "]}"
        headers = f"Lambda-Extension-Name: {name}\r\nLambda-Extension-Accept-Feature: accountId\r\n"
        return self._built("POST", EXTENSION_PATH + "/register", body, headers)

    def next(self) -> bytes:
        """The question for the next event; the platform answers when there is one."""
        if self._next[0] != self.identifier:
            self._next = self.identifier, self._built("GET", EXTENSION_PATH + "/event/next")
        return self._next[1]

    def subscribe(self, settings: "Settings", port: int) -> bytes:
        """Subscription by either API, with all buffering limits given: documented defaults conflict."""
        path, schema = (LOGS_PATH, LOGS_SCHEMA) if settings.api == "logs" else (TELEMETRY_PATH, TELEMETRY_SCHEMA)
        if settings.protocol == "tcp":
            destination = f'{{"protocol":"TCP","port":{port}}}'
        else:
            destination = f'{{"protocol":"HTTP","URI":"http://{SANDBOX_HOST}:{port}"}}'
        types = ",".join(f'"{kind}"' for kind in settings.types)
        body = (
            f'{{"schemaVersion":"{schema}","types":[{types}],'
            f'"buffering":{{"maxItems":{settings.buffer_items},"maxBytes":{settings.buffer_bytes},'
            f'"timeoutMs":{settings.buffer_ms}}},"destination":{destination}}}'
        )
        return self._built("PUT", path, body)

    def init_error(self, error_type: str, message: str) -> bytes:
        """Says that this extension cannot start. `message` must need no escaping in JSON."""
        body = f'{{"errorMessage":"{message}","errorType":"{error_type}","stackTrace":[]}}'
        headers = f"Lambda-Extension-Function-Error-Type: {error_type}\r\n"
        return self._built("POST", EXTENSION_PATH + "/init/error", body, headers)

    def _built(self, method: str, path: str, body: str = "", headers: str = "") -> bytes:
        if self.identifier:
            headers += f"Lambda-Extension-Identifier: {self.identifier}\r\n"
        if body:
            headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: {self._host_port}\r\n{headers}\r\n{body}".encode("latin-1")


def names_other_api(answer: str, api: str) -> bool:
    """Whether the platform's refusal of one API speaks of the other: once one is in use, the other is refused.

    Which words it uses for that is not public, so the line quotes them beside this reading of them.
    """
    answer = answer.lower()
    other = "telemetry api" if api == "logs" else "logs api"
    return "other api" in answer or other in answer
