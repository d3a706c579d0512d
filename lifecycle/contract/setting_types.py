"""The kinds of setting: what a variable may hold, and what its text means.

A row of the table in `settings` is one of these, with its name, its default and one line about it. They know no
variable of ours and read no environment.

Runs before the first call to the platform, so it imports nothing but the schemes.
"""

from lifecycle.contract.schemes import forms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from lifecycle.contract.schemes import Scheme

    class Values(Protocol):
        """Where rows keep what they were given, by attribute, and the variable that gave it."""

        given: dict[str, str]
        values: dict[str, Any]


PREFIX = "TAILRACE_"
OTLP_PREFIX = "OTEL_EXPORTER_OTLP_"

# Lambda keeps this port for its own Runtime API.
RESERVED_PORT = 9001

# More digits than any bound has; int() would take thousands.
MOST_DIGITS = 19


# A transport that other programs speak, as OpenTelemetry's variables name it.
GRPC = "grpc"

# No answer over the Internet is reliably quicker; what is used for less.
_LEAST_TIMEOUT_MS = 100
_SHORT_TIMEOUT_MS = 1000

# What a header's name may consist of beside letters and digits (RFC 9110, section 5.6.2).
_QUOTES = "\"'"
_TOKEN = frozenset("!#$%&'*+-.^_`|~")


# How a secret is named where it would else stand; whoever sends it asks for what it stands for.
_REFERENCES = ("@{secretsmanager:", "@{ssm:")

# As deployment tools write them, which put the secret itself into the configuration: one that gets here is none.
_MISWRITTEN = ("${secretsmanager:", "${ssm:")

_RIGHT_REFERENCE = (
    "a secret as @{secretsmanager:NAME-OR-ARN#KEY} or @{ssm:/PATH}, with @: ${…} is what deployment tools replace"
)

# Stands for a reference where an address is taken apart: no setting has a control character.
REFERENCE_MARK = "\x01"


class BadValueError(Exception):
    """A value does not fit its setting.

    Attributes:
        usable: What is used all the same; None: the default.
        used: How that is said.
        expected: What would have been right, if it is another thing than the setting says.
    """

    def __init__(self, usable: "Any" = None, used: str = "", expected: str = "") -> None:
        super().__init__()
        self.usable = usable
        self.used = used
        self.expected = expected


def references_in(text: str) -> "list[str]":
    """The references in a text, in order, as they stand there: `@{secretsmanager:NAME#KEY}`, `@{ssm:/PATH}`.

    Raises:
        BadValueError: One is not whole, or is none of ours.
    """
    if "{" not in text:
        return []
    found = []
    at = text.find("@{")
    while at >= 0:
        if text.startswith(_REFERENCES, at):
            end = text.find("}", at)
            name = text[at:end].partition(":")[2].partition("#")[0]
            if end < 0 or not name or any(c <= " " or c == "{" for c in text[at + 2 : end]):
                raise BadValueError(expected=_RIGHT_REFERENCE)
            found.append(text[at : end + 1])
            at = end
        at = text.find("@{", at + 1)
    if any(start in text for start in _MISWRITTEN):
        raise BadValueError(expected=_RIGHT_REFERENCE)
    return found


def marked(text: str) -> "tuple[str, list[str]]":
    """A text with a mark in place of each reference, so that it can be taken apart, and the references."""
    references = references_in(text)
    for reference in references:
        text = text.replace(reference, REFERENCE_MARK, 1)
    return text, references


def unmarked(text: str, references: "list[str]") -> str:
    """A piece of such a text with its references back in it; they are taken from the list."""
    head, *rest = text.split(REFERENCE_MARK)
    return head + "".join([references.pop(0) + piece for piece in rest])


# Whose a setting is. What is the environment's there is once. What is a route's may be set for one alone, by its name
# behind the variable's; without that it is for all or, where it says who is spoken to and by whom, the first one's.
ENVIRONMENT, EVERY_ROUTE, ONE_ROUTE = "environment", "every route", "one route"

# The route whose settings have no name behind them.
FIRST_ROUTE = "default"


class Setting:
    """One row of the table: a variable, what it may hold, its default and one line about it.

    Subclasses turn text into a value (`read`) and give `__get__` its type.

    Args:
        scope: Whose it is; unless given the environment's, or one route's: secrets, and what OpenTelemetry has.

    Attributes:
        also: Another name of the variable, by which it is known where the first is not set.
        scope: Whose it is.
    """

    kind = "text"

    def __init__(
        self,
        default: "Any",
        about: str,
        *,
        variable: str = "",
        also: str = "",
        unit: str = "",
        secret: bool = False,
        scope: str = "",
    ) -> None:
        self.default = default
        self.about = about
        self.variable = variable
        self.also = also
        self.unit = unit
        self.secret = secret
        self.scope = scope
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        self.variable = self.variable or PREFIX + name.upper()
        is_own = self.variable.startswith(OTLP_PREFIX) or (self.secret and self.variable.startswith(PREFIX))
        self.scope = self.scope or (ONE_ROUTE if is_own else ENVIRONMENT)

    def of(self, settings: "Values | None") -> "Any":
        """The parsed value, or the row itself when asked of the class."""
        return self if settings is None else settings.values[self.attribute]

    @property
    def expected(self) -> str:
        """What the setting takes, in words."""
        return "text"

    def read(self, text: str) -> "Any":
        """The value that `text` means.

        Raises:
            BadValueError: `text` is not what `expected` says.
        """
        return text

    def shown(self, value: "Any") -> str:
        """A value as a person would write it."""
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value)


class Text(Setting):
    """Any text."""

    def __get__(self, settings: "Values", owner: type) -> str:
        return self.of(settings)  # type: ignore[no-any-return]


class Secret(Text):
    """A text that is shown nowhere, and may be one by reference."""

    def __init__(self, about: str, *, variable: str = "", also: str = "") -> None:
        super().__init__("", about, variable=variable, also=also, secret=True)

    @property
    def expected(self) -> str:
        return "text, or a secret by reference"

    def read(self, text: str) -> str:
        references_in(text)
        return text


_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Flag(Setting):
    """Yes or no."""

    kind = "flag"
    expected = "1 or 0"

    def __get__(self, settings: "Values", owner: type) -> bool:
        return self.of(settings)  # type: ignore[no-any-return]

    def read(self, text: str) -> bool:
        lowered = text.lower()
        if lowered in _YES:
            return True
        if lowered in _NO:
            return False
        raise BadValueError


class Whole(Setting):
    """A whole number between two bounds."""

    kind = "whole number"

    def __init__(
        self, default: int, about: str, *, low: int, high: int, variable: str = "", unit: str = "", scope: str = ""
    ) -> None:
        super().__init__(default, about, variable=variable, unit=unit, scope=scope)
        self.low = low
        self.high = high

    def __get__(self, settings: "Values", owner: type) -> int:
        return self.of(settings)  # type: ignore[no-any-return]

    @property
    def expected(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"a whole number from {self.low} to {self.high}{unit}"

    def read(self, text: str) -> int:
        # int() alone would also take "1_000", " 7" and other scripts' digits.
        if not (text.isascii() and text.isdigit() and len(text) < MOST_DIGITS and self.low <= int(text) <= self.high):
            raise BadValueError
        return int(text)


class Timeout(Whole):
    """Milliseconds for a request, as OpenTelemetry's specification counts them.

    Python's SDK counts seconds: what can only have been meant so would give no answer the time to come, and each such
    request would be made again.
    """

    def __init__(self, about: str, *, variable: str) -> None:
        super().__init__(0, about, low=0, high=120_000, variable=variable, unit="ms")

    @property
    def expected(self) -> str:
        return f"a whole number from {_LEAST_TIMEOUT_MS} to {self.high} ms (not of seconds), or 0"

    def read(self, text: str) -> int:
        timeout_ms = super().read(text)
        if 0 < timeout_ms < _LEAST_TIMEOUT_MS:
            raise BadValueError(_SHORT_TIMEOUT_MS, str(_SHORT_TIMEOUT_MS))
        return timeout_ms


class Port(Whole):
    """A TCP port this process may listen on; 0 lets the kernel choose."""

    @property
    def expected(self) -> str:
        return f"{super().expected}, not {RESERVED_PORT}, which Lambda keeps for itself"

    def read(self, text: str) -> int:
        port = super().read(text)
        if port == RESERVED_PORT:
            raise BadValueError
        return port


class Choice(Setting):
    """One word out of a few."""

    kind = "choice"

    def __init__(
        self,
        default: str,
        about: str,
        *,
        options: "tuple[str, ...]",
        variable: str = "",
        unit: str = "",
        scope: str = "",
    ) -> None:
        super().__init__(default, about, variable=variable, unit=unit, scope=scope)
        self.options = options

    def __get__(self, settings: "Values", owner: type) -> str:
        return self.of(settings)  # type: ignore[no-any-return]

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.options)

    def read(self, text: str) -> str:
        if text.lower() not in self.options:
            raise BadValueError
        return text.lower()


class FlagOrAuto(Choice):
    """Yes, no, or as it turns out: `1`, `0` or `auto`."""

    def __init__(self, about: str) -> None:
        super().__init__("auto", about, options=("auto", "1", "0"), scope=EVERY_ROUTE)

    def read(self, text: str) -> str:
        lowered = text.lower()
        return "1" if lowered in _YES else "0" if lowered in _NO else super().read(text)


class Level(Choice):
    """A severity, by any of the names that libraries have for it."""

    # What else they are called.
    OTHERS = frozenset(
        (
            *("t", "trc", "trce", "finest", "silly", "d", "dbg", "dbug", "v", "vrb", "verbose", "finer", "fine"),
            *("config", "http", "i", "inf", "information", "informational", "success", "w", "wrn"),
            *("e", "err", "fail", "severe", "dpanic", "panic", "pnc", "alert"),
            *("c", "crit", "f", "ftl", "emergency", "emerg"),
        )
    )

    def __init__(self, about: str) -> None:
        options = ("trace", "debug", "info", "notice", "warn", "warning", "error", "critical", "fatal")
        super().__init__("", about, options=options, scope=EVERY_ROUTE)

    @property
    def expected(self) -> str:
        return super().expected + ", or what else a library calls one of them"

    def read(self, text: str) -> str:
        return text.lower() if text.lower() in self.OTHERS else super().read(text)


class OwnLevel(Choice):
    """A level of the extension's own log. `warn`, as other settings and most loggers have it, is `warning`."""

    def read(self, text: str) -> str:
        return "warning" if text.lower() == "warn" else super().read(text)


class Encoding(Choice):
    """An encoding of OTLP. gRPC is understood, and answered where all is known that is used instead."""

    def __init__(self, about: str, *, variable: str) -> None:
        super().__init__("", about, options=("http/protobuf", "http/json"), variable=variable)

    def read(self, text: str) -> str:
        return GRPC if text.lower() == GRPC else super().read(text)


class Names(Setting):
    """A comma-separated list of words out of a few, each at most once, in the table's order."""

    kind = "list"

    def __init__(
        self,
        default: "tuple[str, ...]",
        about: str,
        *,
        options: "tuple[str, ...]",
        variable: str = "",
        scope: str = "",
    ) -> None:
        super().__init__(default, about, variable=variable, scope=scope)
        self.options = options

    def __get__(self, settings: "Values", owner: type) -> "tuple[str, ...]":
        return self.of(settings)  # type: ignore[no-any-return]

    @property
    def expected(self) -> str:
        return "a comma-separated list of " + ", ".join(self.options)

    def read(self, text: str) -> "tuple[str, ...]":
        words = [word.strip().lower() for word in text.split(",") if word.strip()]
        if not words or any(word not in self.options for word in words):
            raise BadValueError
        return tuple(option for option in self.options if option in words)


class FlagOrNames(Names):
    """All of a list, none, or those that are named: in either case, with or without what all of them begin with.

    Args:
        begin: What all of them begin with where they come from.
    """

    def __init__(self, about: str, *, options: "tuple[str, ...]", begin: str) -> None:
        super().__init__((), about, options=options, scope=EVERY_ROUTE)
        self.begin = begin

    @property
    def expected(self) -> str:
        return "1, 0 or " + super().expected

    def read(self, text: str) -> "tuple[str, ...]":
        lowered = text.lower()
        if lowered in _YES:
            return self.options
        if lowered in _NO:
            return ()
        words = [word.strip().removeprefix(self.begin) for word in lowered.split(",") if word.strip()]
        known = {option.lower() for option in self.options}
        if not words or any(word not in known for word in words):
            raise BadValueError
        return tuple(option for option in self.options if option.lower() in words)

    def shown(self, value: "Any") -> str:
        return super().shown(value) if value else "0"


class Ratio(Setting):
    """A share, from none to all."""

    kind = "ratio"
    expected = "a decimal number from 0 to 1"

    def __get__(self, settings: "Values", owner: type) -> float:
        return self.of(settings)  # type: ignore[no-any-return]

    def read(self, text: str) -> float:
        whole, _, part = text.partition(".")
        # float() alone would also take "nan", "1e0" and other scripts' digits.
        if not (text.isascii() and (whole + part).isdigit() and len(text) < MOST_DIGITS and float(text) <= 1):
            raise BadValueError
        return float(text)

    def shown(self, value: "Any") -> str:
        return f"{value:g}"


class Patterns(Setting):
    r"""Regular expressions separated by semicolons; one that is meant is written `\;`.

    They are compiled where they are used: here nothing is imported.
    """

    kind = "patterns"

    def __init__(self, about: str, *, expected: str = "PATTERN[;PATTERN…]") -> None:
        super().__init__((), about, scope=EVERY_ROUTE)
        self.forms = expected

    def __get__(self, settings: "Values", owner: type) -> "tuple[str, ...]":
        return self.of(settings)  # type: ignore[no-any-return]

    @property
    def expected(self) -> str:
        return self.forms

    def read(self, text: str) -> "tuple[str, ...]":
        patterns = [""]
        for part in text.split(";"):
            last = patterns[-1]
            if (len(last) - len(last.rstrip("\\"))) % 2:
                patterns[-1] += ";" + part
            elif part.strip():
                patterns.append(part.strip())
        return tuple(pattern for pattern in patterns if pattern)

    def shown(self, value: "Any") -> str:
        return ";".join(value)


class Pairs(Setting):
    """`key=value` pairs separated by commas, percent-decoded, as OpenTelemetry writes headers."""

    kind = "pairs"
    expected = "KEY=VALUE[,KEY=VALUE…]"

    def __get__(self, settings: "Values", owner: type) -> "tuple[tuple[str, str], ...]":
        return self.of(settings)  # type: ignore[no-any-return]

    def read(self, text: str) -> "tuple[tuple[str, str], ...]":
        return tuple(self.pair(part) for part in text.split(",") if part.strip())

    def pair(self, text: str) -> "tuple[str, str]":
        """One pair.

        Raises:
            BadValueError: `text` is none.
        """
        key, equals, value = text.partition("=")
        key = key.strip()
        if not key or not equals or any(c.isspace() or ord(c) < 32 for c in key):  # noqa: PLR2004
            raise BadValueError
        value = percent_decoded(value.strip())
        if any(ord(c) < 32 and c != "\t" for c in value):  # noqa: PLR2004
            raise BadValueError
        return key, value

    def shown(self, value: "Any") -> str:
        return ",".join(f"{key}={text}" for key, text in value)


class Headers(Pairs):
    """Pairs of which each is a header: a bad one does not take the good ones with it."""

    expected = "KEY=VALUE[,KEY=VALUE…], no quotes round a value (one that is meant is %22)"

    def __init__(self, about: str, *, variable: str = "") -> None:
        super().__init__((), about, variable=variable, secret=True)

    def read(self, text: str) -> "tuple[tuple[str, str], ...]":
        pairs, bad = [], []
        for part in text.split(","):
            if part.strip():
                try:
                    pairs.append(self.pair(part))
                except BadValueError as exc:
                    bad.append(exc)
        if bad:
            raise BadValueError(tuple(pairs), "the others" if pairs else "", bad[0].expected)
        return tuple(pairs)

    def pair(self, text: str) -> "tuple[str, str]":
        """A header; its name is a token (RFC 9110, section 5.6.2)."""
        value = text.partition("=")[2].strip()
        if text.strip()[0] in _QUOTES or (len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES):
            raise BadValueError
        pair = super().pair(text)
        if not all(c.isascii() and (c.isalnum() or c in _TOKEN) for c in pair[0]):
            raise BadValueError
        references_in(pair[1])
        return pair


class Address(Setting):
    """Where telemetry goes: one of the forms that its schemes have."""

    kind = "address"

    def __init__(self, about: str, *, schemes: "dict[str, Scheme]", variable: str = "") -> None:
        super().__init__("", about, variable=variable, secret=True)
        self.schemes = schemes

    def __get__(self, settings: "Values", owner: type) -> str:
        return self.of(settings)  # type: ignore[no-any-return]

    @property
    def expected(self) -> str:
        return forms(self.schemes)

    def read(self, text: str) -> str:
        if any(ord(c) <= 32 or ord(c) == 127 for c in text):  # noqa: PLR2004
            raise BadValueError
        shape, references = marked(text)
        name = shape.partition(":")[0]
        scheme = self.schemes.get(name.lower())
        rest = shape[len(name) :]
        if references and REFERENCE_MARK in name + authority_of(rest).rpartition("@")[2]:
            raise BadValueError(expected="a reference in place of user, password, path or query, not of scheme or host")
        if scheme is None or not scheme.fits(rest):
            raise BadValueError
        return name.lower() + unmarked(rest, references)


def authority_of(rest: str) -> str:
    """User, host and port of an address, of which `rest` is all behind the scheme's name."""
    text = rest.partition("//")[2]
    for end in "/?#":
        text = text.partition(end)[0]
    return text


def percent_decoded(text: str, errors: str = "replace") -> str:
    """`text` with its %XX sequences decoded as UTF-8; what is not such a sequence stays (RFC 3986, 2.1).

    Args:
        text: Percent-encoded.
        errors: What becomes of bytes that are not UTF-8, as `bytes.decode` has it.
    """
    if "%" not in text:
        return text
    head, *parts = text.split("%")
    out = head.encode()
    for part in parts:
        digits = part[:2]
        if len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits):  # noqa: PLR2004
            out += bytes((int(digits, 16),)) + part[2:].encode()
        else:
            out += b"%" + part.encode()
    return out.decode("utf-8", errors)
