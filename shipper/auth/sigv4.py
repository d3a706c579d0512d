"""AWS Signature Version 4: requests are signed with a key that is never sent, for one service, region and moment.

Signed is what is sent: the body as it is compressed, method and target of the request line, and every header but those
that a proxy on the way may change. Of the target AWS decodes the query and encodes it anew, so that is what is signed.

Source: AWS General Reference, "Create a signed AWS API request".
"""

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping

from lifecycle.contract.setting_types import percent_decoded
from lifecycle.contract.wire import SECRET
from shipper.auth.aws import EXPIRED, Scope, judged
from shipper.delivery.outcome import Outcome, Verdict
from shipper.transport.request import merged
from shipper.transport.response import epoch_s_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.auth.credentials import Credentials, Keys
    from shipper.auth.interfaces import Auth, Secret
    from shipper.delivery.interfaces import Request
    from shipper.transport.request import Headers
    from shipper.transport.response import Response

# Why a request is to be tried again at once, with a signature of another moment.
STALE_SIGNATURE = "stale_signature"

_ALGORITHM = "AWS4-HMAC-SHA256"

# What of a head is not signed: others may change it on the way.
_UNSIGNED = frozenset(
    (
        *("authorization", "baggage", "connection", "expect", "keep-alive", "proxy-authenticate"),
        *("proxy-authorization", "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade"),
        *("user-agent", "x-amzn-trace-id"),
    )
)

# Their paths are signed as they are sent; those of all other services are encoded once more.
_RAW_PATHS = frozenset({"s3"})
# They want the digest of the body in a header of its own.
_SAY_DIGEST = frozenset({"s3", "aoss"})

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def signed(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: "Keys",
    scope: Scope,
    epoch_s: float,
) -> dict[str, str]:
    """The header fields that sign a request.

    Args:
        method: As the request line has it.
        target: Path and query, percent-encoded, likewise.
        headers: All that the request says, Host among it, whatever is left unsigned.
        body: As sent.
        keys: Whose the request is.
        scope: Which service of which region it goes to.
        epoch_s: When it is signed.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(epoch_s))
    digest = hashlib.sha256(body).hexdigest()
    own = {"X-Amz-Date": moment}
    if keys.token:
        own["X-Amz-Security-Token"] = keys.token
    if scope.service in _SAY_DIGEST:
        own["X-Amz-Content-Sha256"] = digest
    fields = {name.lower(): " ".join(value.split()) for name, value in (*headers.items(), *own.items())}
    names = sorted(name for name in fields if name not in _UNSIGNED)
    path, _, query = target.partition("?")
    canonical = "\n".join(
        (
            method,
            _path(path, scope.service),
            _query(query),
            *(f"{name}:{fields[name]}" for name in names),
            "",
            ";".join(names),
            digest,
        )
    )
    within = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join((_ALGORITHM, moment, within, hashlib.sha256(_bytes(canonical)).hexdigest()))
    signature = hmac.digest(_signing_key(keys, scope, moment[:8]), text.encode(), "sha256").hex()
    signer = f"Credential={keys.access_key}/{within}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**own, "Authorization": f"{_ALGORITHM} {signer}"}


def _signing_key(keys: "Keys", scope: Scope, day: str) -> bytes:
    key = _bytes(f"AWS4{keys.secret_key}")
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _path(path: str, service: str) -> str:
    """A path as it is signed: normalised and encoded once more, but for the services that take paths as they are."""
    if service in _RAW_PATHS:
        return path or "/"
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    ends = "/" if kept and path.endswith("/") else ""
    return encoded("/" + "/".join(kept) + ends, kept="/")


def _query(query: str) -> str:
    """A query as it is signed: sorted, and every name and value encoded, a comma too, however it was sent."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    both = sorted((_encoded_anew(name), _encoded_anew(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in both)


def _encoded_anew(text: str) -> str:
    return encoded(percent_decoded(text, "surrogateescape"))


def encoded(text: str, kept: str = "") -> str:
    """Percent-encoded, as AWS wants it (RFC 3986, section 2), but for what is `kept`."""
    plain = _UNRESERVED | frozenset(kept.encode())
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in _bytes(text))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# A signature is good for five minutes before and after its moment; what is off by less than this is not the clock's.
_LEAST_SKEW_S = 60.0

# What was refused with new keys, or a new signature, is not tried with others again before this.
_AGAIN_AFTER_S = 60.0

# After a gap like this the environment may have been frozen, and its clock been set.
_GAP_S = 10.0


class Clock:
    """The time by which requests are signed: ours, and what a server said that it is off by, until the next thaw.

    Args:
        wall_clock: Seconds since the epoch.
        monotonic: Seconds.
    """

    def __init__(
        self, wall_clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._skew_s = 0.0
        self._asked_at = monotonic(), wall_clock()

    def epoch_s(self) -> float:
        """The time to sign with."""
        monotonic, wall = self._monotonic(), self._wall_clock()
        before, wall_before = self._asked_at
        passed_s = monotonic - before
        if passed_s > _GAP_S or abs(wall - wall_before - passed_s) > 1:
            self._skew_s = 0.0
        self._asked_at = monotonic, wall
        return wall + self._skew_s

    def monotonic_s(self) -> float:
        """Seconds, which no server sets."""
        return self._monotonic()

    def adjust(self, date: float) -> None:
        """A server's own time, with an answer that doubts ours."""
        skew_s = date - self._wall_clock()
        self._skew_s = skew_s if abs(skew_s) >= _LEAST_SKEW_S else 0.0


class SigV4:
    """Signs every try. See `interfaces.Auth`.

    Args:
        base: What the user has every request say beside it, which is signed as well; None for nothing.
        authority: Of the place, as a Host header has it.
        scope: What service of which region it is.
        credentials: Have the keys.
        clock: Says when it is.
    """

    def __init__(
        self, base: "Auth | None", authority: str, scope: Scope, credentials: "Credentials", clock: Clock | None = None
    ) -> None:
        self._base = base
        self._authority = authority
        self._scope = scope
        self._credentials = credentials
        self._clock = clock or Clock()
        self._keys: Keys | None = None
        self._signed_at = 0.0
        # Since another try was made with other keys or another signature, and none was taken: until when no other is.
        self._not_again_before_s = -math.inf

    @property
    def secrets(self) -> "tuple[Secret, ...]":
        """The keys, and what the other headers need."""
        return (self._credentials, *(self._base.secrets if self._base else ()))

    @property
    def is_ready(self) -> bool:
        """Whether there are keys."""
        return self._credentials.is_known and (self._base is None or self._base.is_ready)

    def target(self, request: "Request") -> str:
        """As it is signed."""
        return self._base.target(request) if self._base else request.target

    def headers(self, request: "Request") -> "Headers":
        """The user's own and the signature's, of this very moment."""
        keys = self._credentials.keys
        others = dict(self._base.headers(request)) if self._base else {}
        if keys is None:
            return tuple(others.items())
        self._keys, self._signed_at = keys, self._clock.epoch_s()
        described = [(name, value) for name, value in request.headers if name == "Content-Encoding"]
        fields = {**merged((("Host", self._authority),), request.headers, others.items()), **dict(described)}
        signature = signed(
            request.method,
            self.target(request),
            fields,
            request.body,
            keys=keys,
            scope=self._scope,
            epoch_s=self._signed_at,
        )
        return tuple({**others, **signature}.items())

    def judged(self, outcome: "Outcome", response: "Response") -> "Outcome":
        """A signature that came too late is made anew, once; keys that expired are asked for again."""
        outcome = judged(outcome, response)
        if outcome.reason != "unauthorised":
            self._not_again_before_s = -math.inf
            return outcome
        base = self._base
        now = self._clock.monotonic_s()
        is_again = now < self._not_again_before_s
        if not is_again:
            self._not_again_before_s = now + _AGAIN_AFTER_S
        if not is_again and outcome.detail in EXPIRED:
            if self._keys is not None and self._credentials.refused(self._keys):
                return Outcome(verdict=Verdict.HELD, reason=SECRET, detail=outcome.detail, said=outcome.said)
            return outcome
        date = epoch_s_of(response.headers.get(b"date", b"").strip().decode("latin-1"))
        if not is_again and date is not None and abs(date - self._signed_at) >= _LEAST_SKEW_S:
            self._clock.adjust(date)
            return Outcome(verdict=Verdict.RETRY, reason=STALE_SIGNATURE, detail=outcome.detail, said=outcome.said)
        return base.judged(outcome, response) if base else outcome
