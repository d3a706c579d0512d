"""What ours use of `functools` and `contextlib`, without what loading those takes.

With all that they need they take a third of the instructions in which the bare interpreter starts and ends. The type
checker knows ours as the standard library's, whose behaviour they have as far as it is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import suppress as suppress  # noqa: PLC0414 - so it is ours to be imported
    from functools import cache as cache  # noqa: PLC0414
    from functools import cached_property as cached_property  # noqa: PLC0414
    from functools import lru_cache as lru_cache  # noqa: PLC0414
else:
    from _functools import _lru_cache_wrapper

    def cache(function):  # noqa: ANN001, ANN201 - the type checker does not look here
        """Keeps what a function returned, by its arguments."""
        return _lru_cache_wrapper(function, None, False, tuple)

    def lru_cache(maxsize):  # noqa: ANN001, ANN201
        """Keeps it likewise for so many arguments, those that were used last."""
        return lambda function: _lru_cache_wrapper(function, maxsize, False, tuple)

    class cached_property:  # noqa: N801 - as the standard library's
        """A property that is worked out when it is first asked for, and kept in the object."""

        def __init__(self, function) -> None:  # noqa: ANN001
            """Takes what works it out."""
            self._function = function

        def __set_name__(self, owner, name) -> None:  # noqa: ANN001
            """Says where it is kept."""
            self._name = name

        def __get__(self, instance, owner=None):  # noqa: ANN001, ANN204
            """The value; asked only once of an object, whose own attribute hides this afterwards."""
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._function(instance)
            return value

    class suppress:  # noqa: N801 - as the standard library's
        """Lets exceptions of some kinds end a block, and no more."""

        def __init__(self, *kinds) -> None:  # noqa: ANN002
            """Takes the kinds."""
            self._kinds = kinds

        def __enter__(self) -> None:
            """Does nothing."""

        def __exit__(self, kind, *_) -> bool:  # noqa: ANN001, ANN002
            """Whether it was one of them."""
            return kind is not None and issubclass(kind, self._kinds)
