"""Enumerations, without what loading the standard library's takes.

That module, and what it needs, takes a sixth of the instructions in which the bare interpreter starts and ends, each
enumeration as much as five other classes. The type checker knows ours as the standard library's.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import Enum as Enum  # noqa: PLC0414 - so it is ours to be imported
else:

    class _Members(type):
        def __iter__(cls):  # noqa: ANN204 - the type checker does not look here
            return (value for value in vars(cls).values() if isinstance(value, cls))

    class Enum(metaclass=_Members):
        """Its subclasses' plain attributes are its members, each one object with `name` and `value`."""

        def __init_subclass__(cls) -> None:
            """Makes the members."""
            for name, value in list(vars(cls).items()):
                if not name.startswith("_") and not hasattr(value, "__get__"):
                    member = object.__new__(cls)
                    member.name, member.value = name, value
                    setattr(cls, name, member)

        def __repr__(self) -> str:
            """As the class and the name stand in a source."""
            return f"{type(self).__name__}.{self.name}"
