"""Which servers are reached through a proxy, and which are not."""

import pytest

from shipper.transport import address
from shipper.transport.proxy import proxy_for


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("api.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("other, API.example.com ", True),
        ("api.example.com:443", True),
        ("api.example.com:80", False),
    ],
)
def test_no_proxy_names_hosts_and_their_subdomains(no_proxy: str, *, direct: bool) -> None:
    proxy = proxy_for(address.parse("https://api.example.com/"), "u:p@proxy:3128", no_proxy)
    assert (proxy is None) is direct
    assert direct or (proxy is not None and (proxy.host, proxy.port) == ("proxy", 3128))


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "192.168.0.0/16, 10.1.2.9/24", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fe00::1]", "fd00::/8", False),
        ("10.1.2.3", "fd00::/8", False),
        ("10.1.2.3", "10.0.0.0/99,10.0.0.0/", False),
        ("host.example", "10.0.0.0/8,0.0.0.0/0", False),
    ],
)
def test_no_proxy_names_ranges_of_addresses(host: str, no_proxy: str, *, direct: bool) -> None:
    """What is no range is none; a name is in none."""
    assert (proxy_for(address.parse(f"https://{host}/"), "proxy:3128", no_proxy) is None) is direct


def test_only_https_goes_through_the_proxy() -> None:
    assert proxy_for(address.parse("http://h/"), "http://proxy", "") is None
