"""The function's own AWS credentials: out of its environment or, where that has none, from the endpoint it names.

An environment variable never changes; what the endpoint says expires, and is asked for again before it does. Nothing
is read before it is needed, so that no snapshot holds it.

Source: AWS SDKs reference, "Container credential provider"; Lambda developer guide, "SnapStart".
"""

import math
import time
from collections.abc import Callable

import msgspec

from lifecycle.contract.log import Log
from shipper.errors import ExchangeError
from shipper.parse.times import unix_ns
from shipper.transport import address
from shipper.transport.pool import Pool
from shipper.transport.request import ended, head_of
from shipper.transport.response import MOST_RETRY_AFTER_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.settings import Aws
    from shipper.transport.interfaces import Timing

# So long before they expire new ones are asked for.
_EARLY_S = 300.0

# Who may be asked without TLS, beside loopback: what hands out credentials in containers on EC2.
_NEAR = ("localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")

# A request to a neighbour.
_TIMEOUT_S = 2.0

# Between one failure and the next try, doubling.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

_OK = 200
_NS_PER_S = 1_000_000_000


class Keys(msgspec.Struct, frozen=True, gc=False):
    """What requests are signed with.

    Attributes:
        token: Goes with each request where the keys are for a while only; "" where they are not.
        expires_epoch_s: When they are good no more.
    """

    access_key: str
    secret_key: str
    token: str = ""
    expires_epoch_s: float = math.inf


class _Answer(msgspec.Struct, rename="pascal"):
    """What the endpoint says."""

    access_key_id: str
    secret_access_key: str
    token: str = ""
    expiration: str = ""


_answers = msgspec.json.Decoder(_Answer)


class Credentials:
    """Keys, asked for when they are due. See `interfaces.Secret`.

    Args:
        aws: Says where they are.
        timing: Bounds every wait.
        log: Says why there are none.
        clock: Monotonic seconds.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        aws: "Aws",
        timing: "Timing",
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws = aws
        self._timing = timing
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self._keys: Keys | None = None
        self._pause_s = 0.0
        self._not_before_s = -math.inf
        self._said = ""

    @property
    def is_known(self) -> bool:
        """Whether there are keys that are good now."""
        return self.keys is not None

    @property
    def keys(self) -> Keys | None:
        """Those to sign with; None: they are yet to be asked for."""
        if self._keys is None and not self._aws.credentials_uri:
            access_key, secret_key, token = self._aws.keys
            if access_key and secret_key:
                self._keys = Keys(access_key, secret_key, token)
        keys = self._keys
        return keys if keys is not None and self._wall_clock() < keys.expires_epoch_s else None

    def due_in_s(self) -> float:
        """Seconds until they are to be asked for; infinite where nobody has more than the environment has."""
        if not self._aws.credentials_uri:
            if self.keys is None:
                self._say("no_credentials", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
            return math.inf
        left_s = -math.inf if self._keys is None else self._keys.expires_epoch_s - _EARLY_S - self._wall_clock()
        return max(0.0, left_s, self._not_before_s - self._clock())

    def refused(self, keys: Keys) -> bool:
        """AWS did not take these: whether there may be others to try."""
        if not self._aws.credentials_uri:
            return False
        if self._keys is keys:
            self._keys, self._not_before_s = None, -math.inf
        return True

    def refresh(self) -> None:
        """Asks the endpoint; what it does not tell is said once, and asked for again after a pause."""
        uri = self._aws.credentials_uri
        try:
            place = address.parse(uri)
            if not place.is_tls and place.host not in _NEAR and not place.host.startswith("127."):
                self._failed("not_near", "http is for loopback and link-local addresses")
                return
            fields = (("Host", place.authority), ("Authorization", self._aws.credentials_token))
            pool = Pool(place, None, self._timing, self._log)
            try:
                head = ended(head_of("GET", place.target, fields))
                response = pool.exchange(lambda: (head,), _TIMEOUT_S)
            finally:
                pool.close()
            if response.status != _OK:
                self._failed(f"status_{response.status}")
                return
            answer = _answers.decode(response.body)
            expires_ns = unix_ns(answer.expiration)
        except ExchangeError as exc:
            if self._timing.time_left_s() > 0:  # else it was told to make way for a shipment
                self._failed(exc.reason)
            return
        except (msgspec.MsgspecError, ValueError, LookupError, OSError) as exc:
            self._failed("unreadable", type(exc).__name__)
            return
        expires_s = math.inf if expires_ns is None else expires_ns / _NS_PER_S
        self._keys = Keys(answer.access_key_id, answer.secret_access_key, answer.token, expires_s)
        left_s = expires_s - self._wall_clock()
        self._pause_s, self._said = 0.0, ""
        self._not_before_s = self._clock() + max(_FIRST_PAUSE_S, min(left_s / 2, _LONGEST_PAUSE_S))
        self._log.debug("shipper.credentials_taken", expires_in_s=round(min(left_s, MOST_RETRY_AFTER_S)))

    def _failed(self, reason: str, detail: str = "") -> None:
        self._pause_s = min(2 * self._pause_s or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._not_before_s = self._clock() + self._pause_s
        self._say(reason, "AWS_CONTAINER_CREDENTIALS_FULL_URI", detail)

    def _say(self, reason: str, variables: str, detail: str = "") -> None:
        """Says once that there are no credentials, and where they were looked for."""
        if self._said != reason and self.keys is None:
            self._said = reason
            self._log.warning(
                "shipper.credentials_missing",
                reason=reason,
                variables=variables,
                detail=detail,
                effect="nothing can be signed: records wait",
            )
