"""Settings out of a file, for which the 4 KB that Lambda gives all variables together are too few.

Lines of NAME=VALUE, each as the variable of that name would be, and under the environment's own. Only settings are
taken: all else the function's runtime, its SDK and AWS's own tools read, which see no file.

Loaded before the first call to the platform, and only where `TAILRACE_SETTINGS_FILE` is set: imports `os` alone.
"""

import os

from lifecycle.contract.setting_types import OTLP_PREFIX, PREFIX, Address, references_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lifecycle.contract.setting_types import Setting, Values

MOST_BYTES = 65_536

_BOM = b"\xef\xbb\xbf"
_QUOTES = ('"', "'")

# What the name of a header or of a member of a query has in it whose value is a secret.
_TELLING = ("auth", "cookie", "credential", "key", "pass", "secret", "team", "token")


class Unusable:
    """What of a file is not taken.

    Attributes:
        where: The path, or which line it is; never what stands there, which may be a secret.
        expected: What would have been right.
        used: What is used instead.
    """

    __slots__ = ("expected", "used", "where")

    def __init__(self, where: str, expected: str, used: str = "nothing") -> None:
        self.where = where
        self.expected = expected
        self.used = used


def read(path: str, rows: "Iterable[Setting]") -> "tuple[dict[str, str], list[Unusable]]":
    """Names and values in a file, and what of it is not taken.

    Args:
        path: The file.
        rows: Every setting that there is.
    """
    try:
        content = _content(path)
    except (OSError, ValueError) as exc:
        return {}, [Unusable(path, f"a file that can be read ({exc})")]
    if len(content) > MOST_BYTES:
        return {}, [Unusable(path, f"a file of {MOST_BYTES} bytes at most")]
    known = {name for row in rows for name in (row.variable, row.also)} - {""}
    found: dict[str, str] = {}
    unusable = []
    lines = content.removeprefix(_BOM).decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, is_pair, value = text.partition("=")
        name = name.rstrip()
        if not is_pair or not (name.isascii() and name.isidentifier()):
            unusable.append(Unusable(f"line {number}", "NAME=VALUE, or a comment behind #"))
        elif name not in known and not name.startswith((PREFIX, OTLP_PREFIX)):
            expected = "a setting of Tailrace's: what others read has to stand in the environment"
            unusable.append(Unusable(f"line {number}", expected))
        else:
            if name in found:
                unusable.append(Unusable(f"line {number}", "each name once", "this line"))
            found[name] = _unquoted(value.strip())
    return found, unusable


def left_by(environ: "Mapping[str, str]", found: "Mapping[str, str]", rows: "Iterable[Setting]") -> "dict[str, str]":
    """What of a file is not set in the environment, under either of its names."""
    both = {name: (row.variable, row.also) for row in rows for name in (row.variable, row.also)}
    return {
        name: value
        for name, value in found.items()
        if not any(environ.get(one, "").strip() for one in both.get(name, (name,)))
    }


def plain_secrets(settings: "Values", rows: "Iterable[Setting]", taken: "Mapping[str, str]") -> "Iterator[str]":
    """The variables with a secret as it is, of those that a file has: it lies in every archive of the function.

    Args:
        settings: Of a route.
        rows: Every setting that there is.
        taken: What the file has.
    """
    for row in rows:
        variable = settings.given.get(row.attribute, "")
        is_from_file = variable in taken or (bool(variable) and row.also in taken)
        if is_from_file and row.secret and any(_plain(row, settings.values[row.attribute])):
            yield variable


def _plain(row: "Setting", value: object) -> "Iterator[bool]":
    """Whether what is secret in a value stands there as it is, for each part that is."""
    if isinstance(value, tuple):
        yield from (_is_telling(name) and not references_in(text) for name, text in value)
    elif row.attribute == "password":
        yield bool(value) and not references_in(str(value))
    elif isinstance(row, Address) or row.attribute == "https_proxy":
        place, _, query = str(value).partition("?")
        user = place.partition("//")[2].rpartition("@")[0]
        yield bool(user.partition(":")[2]) and not references_in(user)
        pairs = (pair.partition("=") for pair in query.split("&"))
        yield from (bool(text) and _is_telling(name) and not references_in(text) for name, _, text in pairs)


def _is_telling(name: str) -> bool:
    return any(part in name.lower() for part in _TELLING)


def _content(path: str) -> bytes:
    """A file, without the decoder that `open` would load; more than may be, where there is more.

    Raises:
        OSError: It cannot be read.
        ValueError: The path is none.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # who names a pipe by mistake waits for nobody
    try:
        content = b""
        while len(content) <= MOST_BYTES:
            piece = os.read(fd, MOST_BYTES + 1 - len(content))
            if not piece:
                break
            content += piece
        return content
    finally:
        os.close(fd)


def _unquoted(value: str) -> str:
    """A value without the quotes around it, which shells and other readers of such files take away as well."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES else value
