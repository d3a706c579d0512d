"""An HTTP address taken apart (RFC 3986), without urllib.

Settings have checked the form; here it is only split. The user information, the query and the fragment never
appear in `label`, which is what may be logged.
"""

import msgspec

from lifecycle.contract.setting_types import marked, percent_decoded, unmarked

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes.

    Attributes:
        host: Name or numeric address, without brackets.
        target: Path and query, as the request line has them.
        user: User information, percent-encoded; "" without any.
    """

    scheme: str
    host: str
    port: int
    target: str = "/"
    user: str = ""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def host_port(self) -> str:
        """Host and port, as CONNECT wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def label(self) -> str:
        """What may be logged: no user, no query."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


def parse(url: str, *, suffix: str = "", instead_of: tuple[str, ...] = ()) -> Address:
    """Splits `scheme://[user[:password]@]host[:port][/path][?query]`; references to secrets stay as they are.

    Args:
        url: The address.
        suffix: Appended to the path, as OTLP does with "/v1/logs".
        instead_of: What of these the path ends with is cut first.
    """
    url, references = marked(url)
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    cut = min(ends, default=len(rest))
    authority, target = rest[:cut], rest[cut:]
    path, mark, query = target.partition("?")
    if suffix:
        path = path.rstrip("/")
        end = next((end for end in instead_of if path.endswith(end)), "")
        path = path.removesuffix(end).rstrip("/") + suffix
    user, _, host = authority.rpartition("@")
    name, port = _host_port(host)
    user = unmarked(user, references)
    return Address(
        scheme=scheme.lower(),
        host=_ascii_host(name),
        port=port or _DEFAULT_PORTS[scheme.lower()],
        target=unmarked(_ascii(path or "/") + mark + _ascii(query), references),
        user=user,
    )


def user_of(address: Address) -> tuple[str, str]:
    """Name and password in an address, decoded; references in them as they stand."""
    text, references = marked(address.user)
    name, _, password = text.partition(":")
    return unmarked(percent_decoded(name), references), unmarked(percent_decoded(password), references)


def basic(user: str) -> str:
    """An Authorization value (RFC 7617) from percent-encoded `user:password`."""
    import binascii

    name, _, password = user.partition(":")
    plain = f"{percent_decoded(name)}:{percent_decoded(password)}".encode("utf-8", "surrogateescape")
    return "Basic " + binascii.b2a_base64(plain, newline=False).decode("ascii")


def _host_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        return name, int(rest[1:] or 0)
    name, _, port = text.partition(":")
    return name, int(port or 0)


def _ascii(text: str) -> str:
    """`text` with what a request line cannot carry percent-encoded."""
    return "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in _bytes(c)) for c in text)


def _ascii_host(name: str) -> str:
    """A name as the DNS has it; one that it cannot have is left to fail there."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return _ascii(name)


def _bytes(text: str) -> bytes:
    # An environment variable that is not UTF-8 comes with surrogates in it (PEP 383).
    return text.encode("utf-8", "surrogateescape")
