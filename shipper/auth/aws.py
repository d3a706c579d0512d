"""What AWS's services have in common: where they are, and the names of what goes wrong there.

Source: AWS JSON 1.1 protocol (Smithy); S3 API reference, "Error responses"; AWS SDKs reference, "Retry behavior".
"""

import msgspec

from lifecycle.contract import late
from shipper.delivery.outcome import Outcome, Verdict
from shipper.transport import address
from shipper.transport.address import Address
from shipper.transport.response import Response, retry_after_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lifecycle.contract.log import Log
    from lifecycle.contract.settings import Aws
# Where hosts end in another partition, by how its regions begin.
_SUFFIXES = (("cn-", "amazonaws.com.cn"), ("", "amazonaws.com"))

# Services that telemetry is sent to at their own addresses, by where in the host they are named.
_IN_HOST_FIRST = ("logs", "monitoring", "xray")
_IN_HOST_LAST = ("aoss", "es")

# Too much at once, or too slow, whatever the status.
THROTTLES = frozenset(
    (
        *("BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete", "RequestLimitExceeded"),
        *("ProvisionedThroughputExceededException", "RequestThrottled", "RequestThrottledException", "SlowDown"),
        *("RequestTimeout", "RequestTimeoutException", "ThrottledException", "Throttling", "ThrottlingException"),
        *("TooManyRequestsException", "ServiceUnavailable", "ServiceUnavailableException", "InternalFailure"),
        *("InternalServerError", "InternalServiceError", "InternalServiceErrorException", "KMSThrottlingException"),
        "IncompleteBody",
    )
)
# The keys are good no more, or not known there.
EXPIRED = frozenset(
    [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClientException",
    ]
)
# It is known who asks, or who says so, and it is not allowed.
DENIED = frozenset(
    (
        *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "SignatureDoesNotMatch"),
        *("InvalidSignatureException", "KMSAccessDeniedException", "MissingAuthenticationTokenException"),
        *("RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed", "IncompleteSignatureException"),
    )
)

# No fault of a record's: of the key that it would be encrypted with, or of the account.
_UNUSABLE = frozenset(
    (
        *("InvalidKMSResourceException", "KMSDisabledException", "KMSInvalidStateException", "KMSOptInRequired"),
        *("KMS.DisabledException", "KMS.KMSInvalidStateException", "SubscriptionRequiredException"),
    )
)
# Nor is it one that something is not there, or elsewhere.
_ABSENT = ("NotFoundException", "NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed")

_REGION = late.pattern(r"[a-z0-9-]{1,32}")

_XML_CODE = late.pattern(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_XML_MESSAGE = late.pattern(rb"<Message>([^<]{1,2000})</Message>")


class _Error(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str | None = None
    Message: str | None = None


_errors = msgspec.json.Decoder(_Error)


class Scope(msgspec.Struct, frozen=True):
    """What a signature is good for."""

    service: str
    region: str


class Refusal(msgspec.Struct, frozen=True):
    """What a service says of why.

    Attributes:
        name: What the documentation calls it, as ThrottlingException; "" if nothing is said.
        message: In words that are not fit to be shown yet.
    """

    name: str = ""
    message: str = ""


def address_of(aws: "Aws", service: str, *, variable: str, region: str) -> Address:
    """Where a service of a region is.

    Args:
        aws: May name another address.
        service: As its host names it.
        variable: As the variable for such an address ends.
        region: One of its.
    """
    suffix = next(suffix for start, suffix in _SUFFIXES if region.startswith(start))
    return address.parse(aws.endpoint(variable) or f"https://{service}.{region}.{suffix}")


def region_of(query: str, aws: "Aws", log: "Log") -> str:
    """The region that an address names by `region=REGION`, or the function's; that there is none is said.

    Args:
        query: Of the address.
        aws: Knows the function's.
        log: Says what is missing.
    """
    named = dict([pair.partition("=")[::2] for pair in query.split("&")]).get("region", "")
    if named and not _REGION.fullmatch(named):
        log.warning("shipper.region_ignored", expected="region=REGION, as in eu-central-1", used=aws.region)
        named = ""
    region = named or aws.region
    if not region:
        log.warning("shipper.region_missing", expected="AWS_REGION, or ?region=REGION behind the address")
    return region


def scope_of(says: str, host: str, region: str) -> Scope | None:
    """What requests to a host are signed for; None where it wants no signature.

    Args:
        says: SERVICE or SERVICE/REGION, where somebody says so; "" where the host has to.
        host: Its name.
        region: The function's.
    """
    if says:
        service, _, said = says.partition("/")
        return Scope(service, said or region)
    # The end of the name, and nothing behind it: whoever else is asked hears of no keys.
    end = next((f".{suffix}" for _, suffix in _SUFFIXES if host.lower().endswith(f".{suffix}")), "")
    labels = host.lower()[: -len(end)].split(".") if end else []
    if len(labels) > 2 and labels[-1] in _IN_HOST_LAST:  # noqa: PLR2004 - NAME.REGION.SERVICE
        return Scope(labels[-1], labels[-2])
    if len(labels) == 2 and labels[0] in _IN_HOST_FIRST:  # noqa: PLR2004 - SERVICE.REGION
        return Scope(labels[0], labels[1])
    return None


def refusal_of(response: Response) -> Refusal:
    """What an answer that is no success says of why."""
    body = response.body
    if body.lstrip()[:1] == b"<":
        code, message = _XML_CODE.search(body), _XML_MESSAGE.search(body)
        said = message[1].decode("utf-8", "replace") if message else ""
        return Refusal(code[1].decode() if code else "", said)
    try:
        error = _errors.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        error = _Error()
    header = response.headers.get(b"x-amzn-errortype", b"").decode("latin-1")
    name = (error.type or error.code or header).partition(":")[0].rpartition("#")[2].strip()
    is_name = name.isascii() and name.isidentifier() and len(name) <= 64  # noqa: PLR2004 - none is longer
    return Refusal(name if is_name else "", error.message or error.Message or "")


def judged(outcome: Outcome, response: Response) -> Outcome:
    """An outcome by the name of what went wrong: AWS says much with 400 that others say with another status.

    What the outcome says already is kept: it is what AWS's own words do not tell.
    """
    if outcome.verdict is Verdict.DONE:
        return outcome
    refusal = refusal_of(response)
    name, said = refusal.name, outcome.said or refusal.message
    if not name:
        return outcome
    if name in THROTTLES:
        return Outcome(
            verdict=Verdict.RETRY,
            reason=name,
            said=said,
            retry_after_s=retry_after_s(response.headers),
        )
    if name in DENIED or name in EXPIRED:
        return Outcome(verdict=Verdict.HELD, reason="unauthorised", detail=name, said=said)
    if name in _UNUSABLE or name.endswith(_ABSENT):
        return Outcome(verdict=Verdict.HELD, reason=name, said=said)
    return msgspec.structs.replace(outcome, reason=name, said=said)
