"""Raw JSON strings, handled without decoding them."""


def without_newline(raw: bytes) -> bytes:
    r"""A JSON string less one trailing newline.

    A string that ends in `\\n` ends in a backslash and an n: only after an odd number of backslashes is it
    a newline.
    """
    if not raw.endswith(b'\\n"'):
        return raw
    text = raw[:-2]
    backslashes = len(text) - len(text.rstrip(b"\\"))
    return raw[:-3] + b'"' if backslashes % 2 else raw
