"""Secrets by reference: what `@{secretsmanager:NAME#KEY}` and `@{ssm:/PATH}` in settings stand for.

Each is asked for once, between shipments, and kept in memory alone; again when a destination does not take it, with
pauses, since many thousand environments share one quota. What is asked for in vain is said once, with what is missing;
records wait meanwhile.

Source: AWS Secrets Manager API, "GetSecretValue"; AWS Systems Manager API, "GetParameter".
"""

import binascii
import math
import time
from collections.abc import Callable, Iterable

import msgspec

from lifecycle.contract.log import Log
from lifecycle.contract.setting_types import references_in
from lifecycle.contract.settings import Settings
from shipper.auth.aws import DENIED, THROTTLES, Scope, address_of, refusal_of
from shipper.auth.sigv4 import STALE_SIGNATURE, SigV4
from shipper.delivery.interfaces import Request
from shipper.delivery.outcome import Outcome, Verdict
from shipper.delivery.retry import even
from shipper.errors import ExchangeError
from shipper.model.resource import USER_AGENT
from shipper.transport.request import ended, head_of, merged
from shipper.transport.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.auth.credentials import Credentials
    from shipper.transport.address import Address
    from shipper.transport.interfaces import Timing
    from shipper.transport.pool import Pool

# Longest time for one request.
_TIMEOUT_S = 5.0

# Between a failure and the next try, doubling.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0

# Between two times that a destination did not take a value and it was asked for again, and was the same; doubling.
_FIRST_SAME_S = 60.0
_LONGEST_SAME_S = 3600.0

_OK = 200
_CONTENT_TYPE = "application/x-amz-json-1.1"


class _Service(msgspec.Struct, frozen=True):
    """Where references of a kind are looked up.

    Attributes:
        host: As its host names it.
        variable: As AWS_ENDPOINT_URL_… names it.
        target: The operation.
        action: What a role has to be allowed.
        resource: What an ARN names before the name.
    """

    host: str
    variable: str
    target: str
    action: str
    resource: str


_SERVICES = {
    "secretsmanager": _Service(
        "secretsmanager",
        "SECRETS_MANAGER",
        "secretsmanager.GetSecretValue",
        "secretsmanager:GetSecretValue",
        "secret:{}-??????",
    ),
    "ssm": _Service("ssm", "SSM", "AmazonSSM.GetParameter", "ssm:GetParameter", "parameter/{}"),
}


class _Secret(msgspec.Struct):
    """What Secrets Manager answers."""

    SecretString: str | None = None
    SecretBinary: str | None = None


class _Parameter(msgspec.Struct):
    Value: str


class _Parameters(msgspec.Struct):
    """What the Parameter Store answers."""

    Parameter: _Parameter


_secrets = msgspec.json.Decoder(_Secret)
_parameters = msgspec.json.Decoder(_Parameters)


class _UnusableError(Exception):
    """What was answered is no value.

    Attributes:
        reason: `no_such_key`, `not_json`, …
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reference:
    """One reference, and what is known of it.

    Args:
        text: As settings have it.
        settings: Say which region and account are meant where it does not.

    Attributes:
        value: What it stands for; None: it was not asked for yet.
        is_unresolved: It is to be resolved, and nothing is sent with it before.
        not_before_s: When it may be asked for, on the clock.
    """

    def __init__(self, text: str, settings: Settings) -> None:
        kind, _, rest = text[2:-1].partition(":")
        self.text = text
        self.service = _SERVICES[kind]
        self.name, _, self.key = rest.partition("#")
        arn = self.name.split(":") if self.name.startswith("arn:") else []
        self.region = (arn[3] if len(arn) > 4 else "") or settings.aws.region  # noqa: PLR2004 - arn:P:SERVICE:REGION:…
        account = settings.function.account_id or "ACCOUNT"
        partition = "aws-cn" if self.region.startswith("cn-") else "aws"
        resource = self.service.resource.format(self.name.lstrip("/"))
        self.arn = self.name if arn else f"arn:{partition}:{self.service.host}:{self.region}:{account}:{resource}"
        self.value: str | None = None
        self.is_unresolved = True
        self.not_before_s = -math.inf
        self._pause_s = self._same_s = 0.0
        self.said = ""

    def request(self) -> Request:
        """What asks for it."""
        is_secret = self.service.host == "secretsmanager"
        body = msgspec.json.encode(
            {"SecretId": self.name} if is_secret else {"Name": self.name, "WithDecryption": True}
        )
        headers = (("Content-Type", _CONTENT_TYPE), ("X-Amz-Target", self.service.target))
        return Request(body=body, body_bytes=len(body), target="/", headers=headers)

    def read(self, body: bytes) -> str:
        """The value in an answer.

        Raises:
            _UnusableError: There is none, or none that a header can have.
        """
        try:
            text = self._text(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise _UnusableError("unreadable_answer") from None
        if self.key:
            text = _member(text, self.key)
        text = text.removesuffix("\n").removesuffix("\r")
        if any(ord(c) < 32 or ord(c) == 127 for c in text):  # noqa: PLR2004
            raise _UnusableError("control_characters")
        if not text:
            raise _UnusableError("empty")
        return text

    def _text(self, body: bytes) -> str:
        if self.service.host == "ssm":
            return _parameters.decode(body).Parameter.Value
        secret = _secrets.decode(body)
        if secret.SecretString is not None:
            return secret.SecretString
        return binascii.a2b_base64(secret.SecretBinary or "").decode()

    def refused(self, now: float) -> bool:
        """A destination did not take the value: whether it is asked for again, now."""
        if now < self.not_before_s:
            return self.is_unresolved
        self.is_unresolved = True
        return True

    def resolved(self, value: str, now: float, jitter: float) -> bool:
        """It was answered; whether by another value than before."""
        is_same = value == self.value
        self._pause_s = 0.0
        self._same_s = min(2 * self._same_s or _FIRST_SAME_S, _LONGEST_SAME_S) if is_same else 0.0
        self.not_before_s = now + self._same_s * (1 + jitter) / 2
        self.value, self.is_unresolved, self.said = value, False, ""
        return not is_same

    def failed(self, now: float, jitter: float) -> None:
        """It was not answered. What is known goes on being used: it may be the destination that is wrong."""
        self._pause_s = min(2 * self._pause_s or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self.not_before_s = now + self._pause_s * (1 + jitter) / 2
        self.is_unresolved = self.value is None


class References:
    """All the references of a destination. See `interfaces.Secret`.

    Args:
        settings: Say which region and account are meant.
        credentials: Sign the requests.
        timing: Bounds every wait.
        pool_to: Makes connections to a place.
        quoted: Makes what a server says fit to be shown.
        log: Says what is missing, and blanks what is known.
        clock: Monotonic seconds.
        jitter: Draws from [0, 1).

    Attributes:
        hidden: What must not be shown, as far as it is known.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: "Credentials",
        timing: "Timing",
        pool_to: "Callable[[Address], Pool]",
        quoted: Callable[[bytes], str],
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = even,
    ) -> None:
        self.hidden: tuple[str, ...] = ()
        self._settings = settings
        self._credentials = credentials
        self._timing = timing
        self._pool_to = pool_to
        self._quoted = quoted
        self._log = log
        self._clock = clock
        self._jitter = jitter
        self._found: dict[str, Reference] = {}

    @property
    def is_known(self) -> bool:
        """Whether there is a value for each, which no destination has refused since."""
        return not any(reference.is_unresolved for reference in self._found.values())

    def of(self, texts: Iterable[str]) -> tuple[Reference, ...]:
        """The references in some texts."""
        found = [one for text in texts for one in references_in(text)]
        for text in found:
            if text not in self._found:
                self._found[text] = Reference(text, self._settings)
        return tuple(self._found[text] for text in dict.fromkeys(found))

    def filled(self, text: str) -> str:
        """A text with what its references stand for."""
        for one in references_in(text):
            text = text.replace(one, self._found[one].value or "", 1)
        return text

    def refused(self, some: Iterable[Reference]) -> bool:
        """A destination did not take what some stand for: whether they are asked for again before the next try."""
        now = self._clock()
        return True in [one.refused(now) for one in some]

    def hide(self, text: str) -> None:
        """Blanks a text in the log, and in what servers say."""
        if text not in self.hidden:
            self.hidden = (*self.hidden, text)
            self._log.hide(text)

    def due_in_s(self) -> float:
        """Seconds until one is to be asked for."""
        due_s = [one.not_before_s for one in self._found.values() if one.is_unresolved]
        if not due_s:
            return math.inf
        own_s = max(0.0, min(due_s) - self._clock())
        # Without credentials there is no way to ask.
        return own_s if self._credentials.is_known else max(own_s, self._credentials.due_in_s())

    def refresh(self) -> None:
        """Asks for those that are due."""
        if not self._credentials.is_known and self._credentials.due_in_s() <= 0:
            self._credentials.refresh()
        pools: dict[tuple[str, str], Pool] = {}
        try:
            for one in self._found.values():
                if one.is_unresolved and self._clock() >= one.not_before_s and self._timing.time_left_s() > 0:
                    self._ask_for(one, pools)
        finally:
            for pool in pools.values():
                pool.close()

    def _ask_for(self, one: Reference, pools: "dict[tuple[str, str], Pool]") -> None:
        if not self._credentials.is_known:
            self._failed(one, "no_credentials")
            return
        if not one.region:
            self._failed(one, "no_region")
            return
        place = address_of(self._settings.aws, one.service.host, variable=one.service.variable, region=one.region)
        where = place.scheme, place.authority
        pool = pools.get(where)
        if pool is None:
            pool = pools[where] = self._pool_to(place)
        try:
            response = self._answer(one, pool, place)
        except ExchangeError as exc:
            if self._timing.time_left_s() > 0:  # else it was told to make way for a shipment
                self._failed(one, exc.reason, exc.detail or place.authority)
            return
        if response.status != _OK:
            refusal = refusal_of(response)
            self._failed(one, refusal.name or f"status_{response.status}", self._quoted(refusal.message.encode()))
            return
        try:
            value = one.read(response.body)
        except _UnusableError as exc:
            self._failed(one, exc.reason)
            return
        self.hide(value)
        is_new = one.resolved(value, self._clock(), self._jitter())
        self._log.info("shipper.secret_resolved", reference=one.text, is_new=is_new)

    def _answer(self, one: Reference, pool: "Pool", place: "Address") -> Response:
        """The answer to the question for one; asked a second time where the first was signed for another time."""
        auth = SigV4(None, place.authority, Scope(one.service.host, one.region), self._credentials)
        request = one.request()

        def written() -> tuple[bytes, bytes]:
            usual = (("Host", place.authority), ("User-Agent", USER_AGENT))
            fields = merged(usual, request.headers, auth.headers(request))
            return ended(head_of(request.method, request.target, fields.items()), len(request.body)), request.body

        response = pool.exchange(written, _TIMEOUT_S)
        if response.status != _OK:
            outcome = Outcome(verdict=Verdict.HELD, reason="unauthorised")
            if auth.judged(outcome, response).reason == STALE_SIGNATURE:
                response = pool.exchange(written, _TIMEOUT_S)
        return response

    def _failed(self, one: Reference, reason: str, said: str = "") -> None:
        now = self._clock()
        one.failed(now, self._jitter())
        fields = {"reference": one.text, "arn": one.arn, "reason": reason, "said": said}
        self._log.debug("shipper.secret_refused", **fields, again_in_s=round(one.not_before_s - now, 1))
        if one.said == reason:
            return
        one.said = reason
        self._log.warning(
            "shipper.secret_missing",
            **fields,
            action=one.service.action,
            advice=_advice(one, reason, said),
            effect="records wait" if one.is_unresolved else "the value of before is used",
        )


def _member(text: str, key: str) -> str:
    """A member of a secret that is a JSON object.

    Raises:
        _UnusableError: It has none such.
    """
    try:
        members = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _UnusableError("not_json") from None
    value = members.get(key) if isinstance(members, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _UnusableError("no_such_key" if value is None else "no_text")
    return str(value)


def _advice(one: Reference, reason: str, said: str) -> str:
    """What to look at."""
    where = one.service.host
    if reason in DENIED:
        if "kms" in said.lower():
            return "the function's role has to be allowed kms:Decrypt with the key that encrypts it"
        return f"the function's role has to be allowed {one.service.action} on {one.arn}"
    if reason in THROTTLES:
        return "too many ask at once; it is asked for again"
    if reason.endswith("NotFound") or reason == "ResourceNotFoundException":
        return f"there is no such name in {one.region}: is it that of another region or account?"
    by_reason = {
        "no_such_key": f"its JSON has no member {one.key!r}",
        "not_json": f"it is no JSON object, of which {one.key!r} could be a member",
        "no_text": f"the member {one.key!r} is neither text nor a number",
        "control_characters": "it has a line break or another control character in it, which no header can have",
        "empty": "it is empty",
        "no_credentials": "there are no credentials to ask with",
        "no_region": "AWS_REGION is not set, and the name is no ARN",
        "resolve": f"no address is known for {where}: a function in a VPC needs an endpoint for it, or a NAT gateway",
        "connect": f"nothing accepts connections there: a function in a VPC needs an endpoint for {where}, or a NAT "
        "gateway",
        "timeout": f"no answer in time: a function in a VPC needs an endpoint for {where}, or a NAT gateway",
    }
    return by_reason.get(reason, "")
