"""Requests over HTTP, and what answers mean: what every destination behind HTTP is composed with.

An endpoint of such a destination has a place (address, headers, time), a way to prove who sends, and a reader of its
answers; connections are `transport`'s, what is said of who sends is `auth`'s.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.quick import cached_property
from lifecycle.contract.settings import Settings
from lifecycle.contract.wire import SECRET
from shipper.auth.static import StaticAuth
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import DONE, Outcome, Verdict
from shipper.errors import ExchangeError, PendingError
from shipper.model.resource import USER_AGENT
from shipper.transport.address import Address, parse, user_of
from shipper.transport.pool import Pool
from shipper.transport.request import QUICK, Efforts, compressors, ended, gzipped, head_of, joined, merged
from shipper.transport.response import MOST_BODY, Response, retry_after_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _ssl import _SSLContext as Context

    from shipper.auth.aws import Scope
    from shipper.auth.credentials import Credentials
    from shipper.auth.interfaces import Auth, Secret
    from shipper.auth.references import References
    from shipper.transport.interfaces import Timing
    from shipper.transport.quoting import Quoting
    from shipper.transport.trust import Unusable

    AnswerReader = Callable[[Request, Response], Outcome]
    OnResponse = Callable[[Response], object]
else:
    AnswerReader = OnResponse = object

# OpenTelemetry's own default is 10 s, longer than many a function may run.
DEFAULT_TIMEOUT_MS = 5000

_SUCCESS = range(200, 300)
_SERVER_ERROR = range(500, 600)
_NOT_IMPLEMENTED = 501

# Of the client errors, those that may be about the records in the request. The others are about its address
# (404, 405, 410, 421, redirects, …): no record is at fault, so none is given up.
_RETRIED = (408, 425, 429)
_ABOUT_RECORDS = (400, 422)
# Of the server errors, those that are the server's own; 500 may as well be about the records, as OTLP has it.
_OF_THE_SERVER = (502, 503, 504)
_UNAUTHORISED = (401, 403)
_TOO_LARGE = 413


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files that TLS to a place needs, each after the variable that names it; two "" for none.

    Attributes:
        authorities: Those to trust, instead of the system's.
        certificate: Our own.
        key: Its key, if not in the same file.
    """

    authorities: tuple[str, str] = ("", "")
    certificate: tuple[str, str] = ("", "")
    key: tuple[str, str] = ("", "")


NO_FILES = TlsFiles()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go, as the settings have it.

    Attributes:
        headers: What the user has every request say.
        is_compressed: Whether bodies are gzipped.
        timeout_s: Longest time for one request.
        user: Name and password for Basic authentication; "" without any. In these, in the headers and in the target
            references to secrets may stand.
    """

    address: Address
    headers: dict[str, str]
    is_compressed: bool
    timeout_s: float
    tls_files: TlsFiles = NO_FILES
    user: tuple[str, str] = ("", "")


def user_for(settings: Settings, address: Address) -> tuple[str, str]:
    """Name and password for an address: the settings', or its own."""
    if settings.user or settings.password:
        return settings.user, settings.password
    return user_of(address) if address.user else ("", "")


def place_of(settings: Settings, address: Address) -> Place:
    """A place that only TAILRACE's own settings have a say in."""
    return Place(
        address=address,
        headers=merged(settings.headers),
        is_compressed=(settings.compression or "gzip") == "gzip",
        timeout_s=(settings.request_timeout_ms or DEFAULT_TIMEOUT_MS) / 1000,
        user=user_for(settings, address),
    )


def place_behind(settings: Settings, suffix: str = "") -> Place:
    """The place of a destination like SCHEME+https://…, or of a plain address.

    Args:
        settings: Name the destination.
        suffix: What its path ends with, whether or not the address says so.
    """
    scheme, _, rest = settings.destination.partition("://")
    return place_of(settings, parse(f"{scheme.rpartition('+')[2]}://{rest}", suffix=suffix, instead_of=(suffix,)))


class Bodies:
    """Makes requests of items: one body of them all, joined.

    Args:
        place: Where they go.
        content_type: Of the body.
        target: Path and query; "" for the place's own.
        around: What stands before all items, between two, and after all.
        has_spans: Whether ids, of which each is another, are much of what is sent.
    """

    def __init__(
        self,
        place: Place,
        content_type: str,
        target: str = "",
        around: tuple[bytes, bytes, bytes] = (b"", b"", b""),
        *,
        has_spans: bool = False,
    ) -> None:
        self._is_compressed = place.is_compressed
        self._has_spans = has_spans
        self._efforts = Efforts()
        self._around = around
        self._target = target or place.address.target
        encoding = [("Content-Encoding", "gzip")] if place.is_compressed else []
        self._headers = (("Content-Type", content_type), *encoding)

    def __call__(self, items: Sequence[bytes], key: str = "") -> Request:
        """A request of items, with what is around them in every one."""
        del key
        head, separator, tail = self._around
        return self.enclosing(head, items, separator, tail)

    def enclosing(self, head: bytes, items: Sequence[bytes], separator: bytes, tail: bytes) -> Request:
        """A request of items with something before, between and after them."""
        body_bytes = len(head) + sum(map(len, items)) + len(separator) * max(0, len(items) - 1) + len(tail)
        if self._is_compressed:
            effort = QUICK if self._has_spans else self._efforts.of(items, body_bytes)
            body = gzipped(head, items, separator, tail, effort)
        else:
            body = joined(head, items, separator, tail)
        return Request(body=body, body_bytes=body_bytes, items=len(items), target=self._target, headers=self._headers)


class HttpSender:
    """Sends requests to one place.

    Args:
        place: Where to.
        pool: Has the connections.
        auth: Says who sends; asked for every try.
        read: What an answer means; what it makes of the server's words need not be fit to be shown.
        quoting: Makes what a server says fit to be shown; called when it is needed.
        log: Tells of requests and answers; it is bound to where they go.
        clock: Monotonic seconds.
        on_response: Takes every answer, whatever is made of it.
    """

    def __init__(
        self,
        place: Place,
        pool: Pool,
        auth: "Auth",
        read: AnswerReader,
        quoting: "Callable[[], Quoting]",
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_response: OnResponse | None = None,
    ) -> None:
        self.place = place
        self.label = place.address.label
        self._pool = pool
        self._auth = auth
        self._read = read
        self._quoting = quoting
        self._log = log
        self._clock = clock
        self._on_response = on_response
        self._says: tuple[object, ...] = ()
        self._head = b""

    def of(self, signal: str) -> "HttpSender":
        """The same for one signal, of which its log tells."""
        log = self._log.bind(signal=signal)
        return HttpSender(
            *(self.place, self._pool, self._auth, self._read, self._quoting, log),
            clock=self._clock,
            on_response=self._on_response,
        )

    @property
    def secrets(self) -> "tuple[Secret, ...]":
        """What has to be asked for before anything can be sent."""
        return self._auth.secrets

    @property
    def is_ready(self) -> bool:
        """Whether it is known what to say of who sends."""
        return self._auth.is_ready

    def send(self, request: Request) -> Outcome:
        """Makes a request and waits for its answer."""
        if not self._auth.is_ready:
            return Outcome(verdict=Verdict.HELD, reason=SECRET)
        started = self._clock()
        if self._log.is_debug:
            self._log.debug("shipper.request_sent", wire_bytes=len(request.body))
        write, timeout_s = partial(self.written, request), self.place.timeout_s
        return self._awaited(request, lambda: self._pool.exchange(write, timeout_s, self._log), started)

    def begin(self, request: Request, within_s: float) -> Callable[[], Outcome] | None:
        """Sends a request on a connection of its own; None if that takes longer than `within_s`."""
        if not self._auth.is_ready:
            return None
        started = self._clock()
        try:
            answered = self._pool.begin(lambda: self.written(request), within_s, self.place.timeout_s, self._log)
        except ExchangeError as exc:
            self._log.debug("shipper.request_not_begun", reason=exc.reason)
            return None
        self._log.debug("shipper.request_begun", wire_bytes=len(request.body))
        return lambda: self._awaited(request, answered, started)

    def written(self, request: Request) -> tuple[bytes, bytes]:
        """A request's head and body: what it says itself, over it what says who sends it."""
        target = self._auth.target(request)
        says = request.method, target, request.headers, self._auth.headers(request)
        # Usually only the length is another than last time.
        if says != self._says:
            usual = (("Host", self.place.address.authority), ("User-Agent", USER_AGENT))
            described = [(name, value) for name, value in request.headers if name == "Content-Encoding"]
            fields = merged(usual, request.headers, says[-1])
            self._head = head_of(request.method, target, [*fields.items(), *described])
            self._says = says
        return ended(self._head, len(request.body)), request.body

    def _awaited(self, request: Request, answered: Callable[[], Response], started: float) -> Outcome:
        try:
            response = answered()
        except PendingError as exc:
            late = exc.answered
            pending = partial(self._awaited, request, late, started)
            return Outcome(verdict=Verdict.HELD, reason=exc.reason, detail=exc.detail, pending=pending)
        except ExchangeError as exc:
            # No retry makes a certificate valid, nor more time; what is not delivered is kept.
            verdict = Verdict.HELD if exc.reason in ("certificate", "deadline") else Verdict.RETRY
            return Outcome(verdict=verdict, reason=exc.reason, detail=exc.detail)
        if self._on_response is not None:
            self._on_response(response)
        if self._log.is_debug:
            took_ms = round((self._clock() - started) * 1000, 1)
            self._log.debug("shipper.answer_received", status=response.status, took_ms=took_ms)
        outcome = self._auth.judged(self._read(request, response), response)
        return outcome if outcome is DONE else self._quoted(outcome, response)

    def _quoted(self, outcome: Outcome, response: Response) -> Outcome:
        """An outcome with what the server said of it, as it may be shown."""
        quoted = self._quoting().quoted
        items = {
            at: msgspec.structs.replace(one, said=quoted(one.said.encode())) if one.said else one
            for at, one in outcome.items.items()
        }
        encoding = response.headers.get(b"content-encoding", b"").strip().lower()
        said = quoted(outcome.said.encode()) if outcome.said else quoted(response.body, encoding) if not items else ""
        return msgspec.structs.replace(outcome, said=said, items=items)

    def warm(self) -> None:
        """Loads the parser of answers and, where it is spoken, TLS and the authorities it trusts."""
        import httptools  # noqa: F401

        self._pool.warm()

    def close(self) -> None:
        """Hangs up."""
        self._pool.close()


class Senders:
    """Makes the senders of a destination; those to one server share its connections.

    Args:
        settings: Name the proxy.
        timing: Bounds every wait.
        log: The shipper's.
        on_response: Takes every answer.
    """

    def __init__(self, settings: Settings, timing: "Timing", log: Log, on_response: OnResponse | None = None) -> None:
        self._settings = settings
        self._timing = timing
        self._log = compressors.log = log
        self._on_response = on_response
        self._pools: dict[tuple[str, str, int, TlsFiles], Pool] = {}
        self._said: set[Unusable] = set()
        self._quoting_of: tuple[tuple[str, ...], Quoting] | None = None

    def sender(
        self, place: Place, read: AnswerReader, *, scope: "Scope | None" = None, most_body: int = MOST_BODY
    ) -> HttpSender:
        """A sender to a place.

        Args:
            place: Where to.
            read: What an answer means.
            scope: The service of AWS for which requests are signed; if None, that which the settings or the host name.
            most_body: Bytes of an answer that `read` has to see.
        """
        address = place.address
        key = address.scheme, address.host, address.port, place.tls_files
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._pool_to(address, place.tls_files, most_body)
        auth = self._auth(place, scope)
        log = self._log.bind(destination=address.label)
        return HttpSender(place, pool, auth, read, lambda: self._quoting, log, on_response=self._on_response)

    def _pool_to(self, address: Address, tls_files: TlsFiles = NO_FILES, most_body: int = MOST_BODY) -> Pool:
        return Pool(
            address,
            self._proxy(address),
            self._timing,
            self._log,
            most_body=most_body,
            tls_context=lambda: self.context(tls_files),
        )

    def _auth(self, place: Place, scope: "Scope | None") -> "Auth":
        target = place.address.target
        has_references = any("@{" in text for text in (*place.user, *place.headers.values(), target))
        base = StaticAuth(place.user, place.headers, target, self._references if has_references else None)
        scope = scope or self._scope(place)
        if scope is None:
            return base
        from shipper.auth.sigv4 import SigV4

        return SigV4(base, place.address.authority, scope, self._credentials)

    def _scope(self, place: Place) -> "Scope | None":
        """What requests to a place are signed for; None where they are not."""
        says, host = self._settings.sigv4, place.address.host
        is_said = any(place.user) or any(name.lower() == "authorization" for name in place.headers)
        if says.lower() == "none" or (not says and (is_said or ".amazonaws.com" not in host)):
            return None
        from shipper.auth.aws import scope_of

        return scope_of(says, host, self._settings.aws.region)

    @cached_property
    def _credentials(self) -> "Credentials":
        """Loaded with the first place that wants a signature."""
        from shipper.auth.credentials import Credentials

        return Credentials(self._settings.aws, self._timing, self._log)

    @cached_property
    def _references(self) -> "References":
        """Loaded with the first reference to a secret."""
        from shipper.auth.references import References

        return References(
            self._settings,
            self._credentials,
            self._timing,
            self._pool_to,
            self._quoted,
            self._log,
        )

    def _quoted(self, content: bytes) -> str:
        return self._quoting.quoted(content)

    @property
    def _quoting(self) -> "Quoting":
        """Loaded with the first answer that is shown; made anew when there is more to hide."""
        references = self.__dict__.get("_references")
        hidden = references.hidden if references is not None else ()
        if self._quoting_of is None or self._quoting_of[0] != hidden:
            from shipper.transport.quoting import Quoting

            self._quoting_of = hidden, Quoting((*self._settings.secrets(), *hidden))
        return self._quoting_of[1]

    def context(self, files: TlsFiles) -> "Context":
        """What is verified, and proven, on connections that need these files; what of them cannot be used is said."""
        from shipper.transport.trust import context_of

        context, unusable = context_of(
            files.authorities,
            files.certificate,
            files.key,
            file=("SSL_CERT_FILE", self._settings.ssl_cert_file),
            directory=("SSL_CERT_DIR", self._settings.ssl_cert_dir),
        )
        for one in unusable:
            if one not in self._said:
                self._said.add(one)
                self._log.warning("shipper.certificate_ignored", variable=one.variable, file=one.path, reason=one.why)
        return context

    def _proxy(self, address: Address) -> Address | None:
        from shipper.transport.proxy import UnusableProxyError, proxy_for

        try:
            return proxy_for(address, self._settings.https_proxy, self._settings.no_proxy)
        except UnusableProxyError:
            self._log.warning("shipper.proxy_ignored", expected="HTTPS_PROXY=[http://][USER:PASSWORD@]HOST[:PORT]")
            return None


def is_page(response: Response) -> bool:
    """Whether an answer is a page of HTML, and so for people."""
    kind = response.headers.get(b"content-type", b"").strip().lower()
    return kind.startswith(b"text/html") or response.body.lstrip()[:1] == b"<"


def by_status(request: Request, response: Response) -> Outcome:
    """The answer reader of a destination whose status says it all."""
    del request
    return outcome_of(response)


def outcome_of(response: Response, now_epoch_s: Callable[[], float] = time.time) -> Outcome:
    """What the status of an answer means for the records that were in the request."""
    status = response.status
    reason = f"status_{status}"
    if status in _SUCCESS:
        if response.is_early:  # of a request that it has not read, a server cannot have stored anything
            return Outcome(verdict=Verdict.RETRY, reason="early_answer")
        if is_page(response):  # of a site, a login, a gate on the way: whoever wrote it stores no telemetry
            return Outcome(verdict=Verdict.HELD, reason="page")
        return DONE
    if status in _RETRIED or (status in _SERVER_ERROR and status != _NOT_IMPLEMENTED):
        return Outcome(
            verdict=Verdict.RETRY,
            reason=reason,
            retry_after_s=retry_after_s(response.headers, now_epoch_s),
            may_be_records=status in _SERVER_ERROR and status not in _OF_THE_SERVER,
        )
    if status == _TOO_LARGE:
        return Outcome(verdict=Verdict.SPLIT, reason=reason)
    if status in _ABOUT_RECORDS:
        return Outcome(verdict=Verdict.REFUSED, reason=reason)
    if status in _UNAUTHORISED:
        return Outcome(verdict=Verdict.HELD, reason="unauthorised", detail=reason)
    return Outcome(verdict=Verdict.HELD, reason=reason)
