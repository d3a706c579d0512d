"""Addresses, split."""

import base64

from shipper.transport import address
from shipper.transport.address import basic


def test_an_address_is_taken_apart() -> None:
    found = address.parse("https://us%40er:p%3Aw@[::1]:8443/a/ü?q=1#f")
    assert (found.host, found.port, found.target) == ("::1", 8443, "/a/%C3%BC?q=1")
    assert basic(found.user) == "Basic " + base64.b64encode(b"us@er:p:w").decode()
    assert (found.authority, found.label) == ("[::1]:8443", "https://[::1]:8443/a/%C3%BC")
    assert address.parse("HTTP://h?x").target == "/?x"
    assert address.parse("http://bücher.example").host == "xn--bcher-kva.example"
