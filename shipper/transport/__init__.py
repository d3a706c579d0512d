"""Bytes to a server and back: addresses, connections, TLS, proxies, HTTP."""
