"""Which servers are reached through the proxy, and how it is asked for the way to one."""

from lifecycle.contract.schemes import is_authority, is_port
from shipper.errors import ShipperError
from shipper.transport import address
from shipper.transport.address import Address, basic
from shipper.transport.request import ended, head_of


class UnusableProxyError(ShipperError):
    """The proxy's setting is not `[http://][user[:password]@]host[:port]`; its value may be a secret."""


def proxy_for(destination: Address, https_proxy: str, no_proxy: str) -> Address | None:
    """The proxy to CONNECT through, or None to go directly.

    Args:
        destination: Only https goes through a proxy.
        https_proxy: `[http://][user[:password]@]host[:port]`; "" for none.
        no_proxy: Comma-separated: host names (their subdomains included), addresses, each with or without a
            port; ranges of addresses (RFC 4632); `*` for every host.

    Raises:
        UnusableProxyError: It is no address, or not one that is spoken to in plain HTTP.
    """
    if not https_proxy or not destination.is_tls or _is_exempt(destination, no_proxy):
        return None
    url = https_proxy if "://" in https_proxy else f"http://{https_proxy}"
    scheme, _, authority = url.partition("://")
    if scheme.lower() != "http" or not is_authority(authority):
        raise UnusableProxyError
    return address.parse(url)


def connect_request(proxy: Address, server: Address) -> bytes:
    """What asks a proxy for a tunnel to a server (RFC 9110, section 9.3.6)."""
    headers = [("Host", server.host_port)]
    if proxy.user:
        headers.append(("Proxy-Authorization", basic(proxy.user)))
    return ended(head_of("CONNECT", server.host_port, headers))


def _is_exempt(destination: Address, no_proxy: str) -> bool:
    host = destination.host.lower()
    for entry in no_proxy.lower().split(","):
        name = entry.strip()
        if name == "*":
            return True
        if "/" in name:
            if _is_within(host, name):
                return True
            continue
        bare, colon, port = name.rpartition(":")
        if colon and is_port(port) and (":" not in bare or bare.endswith("]")):
            if int(port) != destination.port:
                continue
            name = bare
        name = name.strip("[]").removeprefix("*").lstrip(".")
        if name and (host == name or host.endswith("." + name)):
            return True
    return False


def _is_within(host: str, block: str) -> bool:
    """Whether a host is an address of a block; a name is none, whatever it resolves to."""
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False
