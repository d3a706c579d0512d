"""What connections within TLS trust, and how they say who we are: files that settings name, else the system's.

A file that cannot be used is gone on without, and told of: OpenSSL says nothing of those that its own variables name.
A context is what `ssl.create_default_context` makes, without `ssl`: see `tls`.
"""

import _ssl
import os
import sys
from _ssl import _SSLContext as Context

import msgspec

from lifecycle.contract.quick import cache

# Where systems keep the authorities they trust, for a Python that looks elsewhere or nowhere: Debian, Amazon Linux and
# Fedora (two), SUSE, Alpine.
USUAL_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

# A file, after the variable that names it; two "" for none.
Named = tuple[str, str]
NONE = ("", "")

# What we speak within TLS, after its length (RFC 7301).
_ALPN = b"\x08http/1.1"

_NO_FILE = "no file that can be read"
_NO_CERTIFICATE = "no certificate in it"


class Unusable(msgspec.Struct, frozen=True):
    """A file that cannot be used, the variable that names it, and why not."""

    variable: str
    path: str
    why: str


@cache
def context_of(
    authorities: Named = NONE,
    certificate: Named = NONE,
    key: Named = NONE,
    *,
    file: Named = NONE,
    directory: Named = NONE,
) -> tuple[Context, tuple[Unusable, ...]]:
    """What verifies a server's certificate and name, and says who we are; the files that cannot be used.

    Args:
        authorities: Those to trust, instead of the system's.
        certificate: Our own, with those that lead to an authority.
        key: Its key, if not in the same file.
        file: What OpenSSL's own variable names, which it reads itself.
        directory: Likewise.
    """
    unusable: list[Unusable] = []
    context = _trusting(authorities, file, directory, unusable)
    context._set_alpn_protocols(_ALPN)  # type: ignore[attr-defined]  # noqa: SLF001
    if certificate[1]:
        _prove(context, certificate, key, unusable)
    elif key[1]:
        unusable.append(Unusable(*key, "a key without a certificate"))
    return context, tuple(unusable)


def _trusting(authorities: Named, file: Named, directory: Named, unusable: list[Unusable]) -> Context:
    """A context that trusts the authorities that are named, else the system's."""
    if authorities[1]:
        try:
            context = _verifying()
            context.load_verify_locations(authorities[1])
        except (OSError, ValueError) as exc:
            unusable.append(Unusable(*authorities, _why(exc)))
        else:
            return context
    context = _verifying()
    context.set_default_verify_paths()
    has_any = bool(context.cert_store_stats()["x509"])
    if file[1] and not (has_any and os.access(file[1], os.R_OK)):
        unusable.append(Unusable(*file, _NO_CERTIFICATE if os.access(file[1], os.R_OK) else _NO_FILE))
    if directory[1] and not os.access(directory[1], os.R_OK):
        unusable.append(Unusable(*directory, "no directory that can be read"))
    if not has_any and not _has_entries(directory[1] or _ssl.get_default_verify_paths()[-1]):
        _trust_usual_places(context, unusable)
    return context


def _verifying() -> Context:
    """Verifies certificates and names, and trusts nobody yet."""
    context = Context(_ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # as `ssl` since then: RFC 5280 to the letter, up to the first that is trusted
        context.verify_flags |= _ssl.VERIFY_X509_PARTIAL_CHAIN | _ssl.VERIFY_X509_STRICT
    return context


def _has_entries(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _trust_usual_places(context: Context, unusable: list[Unusable]) -> None:
    """Where this Python finds no authorities, the system may have them all the same."""
    for place in USUAL_PLACES:
        try:
            context.load_verify_locations(place)
        except (OSError, ValueError):
            continue
        return
    unusable.append(Unusable("SSL_CERT_FILE", "", f"is needed: no authorities in {', '.join(USUAL_PLACES)}"))


def _prove(context: Context, certificate: Named, key: Named, unusable: list[Unusable]) -> None:
    """Takes the certificate that says who we are."""
    for variable, path in (certificate, key):
        if path and not os.access(path, os.R_OK):
            unusable.append(Unusable(variable, path, _NO_FILE))
            return
    try:
        # Without a password one would be asked for, of nobody.
        context.load_cert_chain(certificate[1], key[1] or None, password=lambda: b"")
    except (OSError, ValueError) as exc:
        unusable.append(Unusable(*(key if key[1] else certificate), _why(exc)))


def _why(exc: OSError | ValueError) -> str:
    """Why a file cannot be used."""
    if isinstance(exc, _ssl.SSLError):
        return str(exc.reason or _NO_CERTIFICATE).replace("_", " ").lower()
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
