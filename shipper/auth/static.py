"""What every try says alike: a name and a password, and the headers that the user sets.

In each of them, and in the target, references to secrets may stand: then a try says what they stand for by then.
"""

from collections.abc import Mapping

from lifecycle.contract.wire import SECRET
from shipper.delivery.outcome import Outcome, Verdict
from shipper.transport.request import merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shipper.auth.interfaces import Secret
    from shipper.auth.references import References
    from shipper.delivery.interfaces import Request
    from shipper.transport.request import Headers
    from shipper.transport.response import Response

_UNAUTHORISED = (401, 403)


class StaticAuth:
    """Says with every try the same: Basic for a name and a password, over it the headers. See `interfaces.Auth`.

    Args:
        user: Name and password; "" without any.
        headers: What the user has every request say.
        target: Path and query of the place, for the references that are in it.
        references: Know what references stand for; None where there is none in any of these.
    """

    def __init__(
        self,
        user: tuple[str, str],
        headers: Mapping[str, str],
        target: str = "",
        references: "References | None" = None,
    ) -> None:
        self._user = user
        self._own = headers
        self._references = references
        self._found = references.of((*user, *headers.values(), target)) if references else ()
        self.secrets: tuple[Secret, ...] = (references,) if references and self._found else ()
        self._values: tuple[str | None, ...] = ()
        self._headers: Headers = () if self._found else self._made()

    @property
    def is_ready(self) -> bool:
        """Whether it is known what the references stand for."""
        return not self._found or not any(one.is_unresolved for one in self._found)

    def target(self, request: "Request") -> str:
        """Its own."""
        if self._references is None or "@{" not in request.target:
            return request.target
        return "".join(c if "!" <= c <= "~" else _percent(c) for c in self._references.filled(request.target))

    def headers(self, request: "Request") -> "Headers":
        """The same for all."""
        del request
        if self._found:
            values = tuple([one.value for one in self._found])
            if values != self._values:
                self._values, self._headers = values, self._made()
        return self._headers

    def judged(self, outcome: Outcome, response: "Response") -> Outcome:
        """What is not authorised with a secret is tried again with what that is by then, once it was asked for."""
        # Some backends have a code of their own for it, which is the reason then.
        is_unauthorised = outcome.reason == "unauthorised" or response.status in _UNAUTHORISED
        if outcome.verdict is not Verdict.HELD or not is_unauthorised or self._references is None:
            return outcome
        if not self._references.refused(self._found):
            return outcome
        detail = outcome.detail or outcome.reason
        return Outcome(verdict=Verdict.HELD, reason=SECRET, detail=detail, said=outcome.said)

    def _made(self) -> "Headers":
        name, password = (self._filled(text) for text in self._user)
        own = []
        if name or password:
            import binascii

            plain = f"{name}:{password}"
            if self._references is not None:
                self._references.hide(plain)
            encoded = binascii.b2a_base64(plain.encode("utf-8", "surrogateescape"), newline=False).decode("ascii")
            own = [("Authorization", f"Basic {encoded}")]
        return tuple(merged(own, [(field, self._filled(text)) for field, text in self._own.items()]).items())

    def _filled(self, text: str) -> str:
        return text if self._references is None else self._references.filled(text)


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
