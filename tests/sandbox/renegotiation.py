"""A server that asks for another handshake within a connection, as TLS 1.2 allows; Python's ssl has no way to."""

from __future__ import annotations

import _ssl
import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

# Where CPython's TLS object keeps OpenSSL's: behind the head of every object and a pointer to its socket.
_OFFSET = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)


def ask(writer: asyncio.StreamWriter) -> None:
    """Ask the client for a handshake: the request for it leaves with whatever is written next.

    Raises:
        AttributeError: This interpreter's OpenSSL is linked in and hidden.
    """
    tls: Any = writer.get_extra_info("ssl_object")._sslobj  # noqa: SLF001
    openssl = ctypes.CDLL(_ssl.__file__)
    openssl.SSL_renegotiate.argtypes = (ctypes.c_void_p,)
    openssl.SSL_renegotiate(ctypes.c_void_p.from_address(id(tls) + _OFFSET))
    tls.do_handshake()
