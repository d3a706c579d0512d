"""Which variables are a further route's: those that end in its name.

`TAILRACE_DESTINATION_ARCHIVE` declares the route `archive`, and any setting of a route may end so. A name has no `_` in
it, so that nothing but the last part of a variable is one; an exact name of the table always is that setting.

Loaded before the first call to the platform, and only where a variable is set that the table does not have.
"""

from lifecycle.contract.setting_types import ENVIRONMENT, FIRST_ROUTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lifecycle.contract.setting_types import Setting

DESTINATION = "TAILRACE_DESTINATION"

LONGEST_NAME = 16

NAME_FORM = f"a route's name behind {DESTINATION}_: at most {LONGEST_NAME} capital letters and digits, a letter first"

_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CHARACTERS = _CAPITALS | frozenset("0123456789")


class Misnamed:
    """A variable that the table does not have and that is no route's.

    Attributes:
        variable: Its name.
        expected: What would have been right.
        used: What is used instead.
        is_unknown: It may be a misspelt name.
    """

    __slots__ = ("expected", "is_unknown", "used", "variable")

    def __init__(self, variable: str, expected: str, used: str, *, is_unknown: bool = False) -> None:
        self.variable = variable
        self.expected = expected
        self.used = used
        self.is_unknown = is_unknown


def names_of(
    rows: "Mapping[str, Setting]", given: "Mapping[str, str]"
) -> "tuple[tuple[str, ...], tuple[Misnamed, ...]]":
    """The names of the routes that are declared, and the variables that are nobody's.

    Args:
        rows: The table, by variable.
        given: Names and values that are not in it.
    """
    misnamed: list[Misnamed] = []
    names = tuple(_declared(given, refused_names(rows.values()), misnamed))
    return names, (*misnamed, *_unknown(rows, given, names))


def is_name(text: str) -> bool:
    """Whether `text` may be a route's name."""
    return text[:1] in _CAPITALS and len(text) <= LONGEST_NAME and _CHARACTERS.issuperset(text)


def refused_names(rows: "Iterable[Setting]") -> frozenset[str]:
    """Names that no route may have: with one of them a route's setting would be called as another setting is."""
    by_variable = {row.variable: row for row in rows}
    refused = {FIRST_ROUTE.upper()}
    for variable in by_variable:
        head, _, tail = variable.rpartition("_")
        if head in by_variable and by_variable[head].scope != ENVIRONMENT:
            refused.add(tail)
    return frozenset(refused)


def _declared(given: "Mapping[str, str]", refused: frozenset[str], misnamed: list[Misnamed]) -> "Iterator[str]":
    """Names of the routes that a destination is given for; an empty variable is an unset one."""
    for variable, value in given.items():
        head, _, name = variable.rpartition("_")
        if head != DESTINATION or not value.strip():
            continue
        used = "nothing: there is no such route, and the others go on"
        if name in refused:
            misnamed.append(Misnamed(variable, f"another name for a route: {name} is taken", used))
        elif is_name(name):
            yield name
        elif is_name(name.upper()) and f"{DESTINATION}_{name.upper()}" in given:
            used = f"{DESTINATION}_{name.upper()}"
            misnamed.append(Misnamed(variable, "one destination for a route", used))
        else:
            misnamed.append(Misnamed(variable, NAME_FORM, used))


def _unknown(
    rows: "Mapping[str, Setting]", given: "Mapping[str, str]", names: "tuple[str, ...]"
) -> "Iterator[Misnamed]":
    """The others that are no setting of any of these routes."""
    for variable in given:
        head, _, tail = variable.rpartition("_")
        row = rows.get(head)
        if head == DESTINATION or (row is not None and row.scope != ENVIRONMENT and tail in names):
            continue
        expected = "a known setting's name"
        if row is not None and is_name(tail) and row.scope == ENVIRONMENT:
            expected += f": {head} is there once, for all routes"
        elif row is not None and is_name(tail):
            expected += f", or behind {head}_ a route's, which {DESTINATION}_{tail} would make of it"
        yield Misnamed(variable, expected, "nothing", is_unknown=True)
