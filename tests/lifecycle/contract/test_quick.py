"""What stands for functools and contextlib: it behaves as they do."""

import importlib
from typing import Any

import pytest

# As what the layer runs, not as what the type checker knows.
quick: Any = importlib.import_module("lifecycle.contract.quick")


def test_what_a_function_returned_is_kept_by_its_arguments() -> None:
    asked = []

    @quick.cache  # type: ignore[untyped-decorator]
    def doubled(number: int) -> int:
        asked.append(number)
        return 2 * number

    assert [doubled(1), doubled(2), doubled(1)] == [2, 4, 2]
    assert asked == [1, 2]
    doubled.cache_clear()
    assert (doubled(1), asked) == (2, [1, 2, 1])


def test_so_much_is_kept_as_is_said() -> None:
    asked = []

    @quick.lru_cache(maxsize=1)  # type: ignore[untyped-decorator]
    def doubled(number: int) -> int:
        asked.append(number)
        return 2 * number

    assert [doubled(1), doubled(1), doubled(2), doubled(1)] == [2, 2, 4, 2]
    assert asked == [1, 2, 1]


def test_a_property_is_worked_out_once_for_each_object() -> None:
    class Worked:
        count = 0

        @quick.cached_property  # type: ignore[untyped-decorator]
        def value(self) -> int:
            self.count += 1
            return self.count

    one, other = Worked(), Worked()
    assert (one.value, one.value, other.value, one.count) == (1, 1, 1, 1)
    one.value = 5
    assert one.value == 5
    assert isinstance(Worked.value, quick.cached_property)


def test_only_exceptions_of_the_kinds_end_a_block_quietly() -> None:
    with quick.suppress(KeyError, OSError):
        raise FileNotFoundError
    with pytest.raises(ValueError, match="said"), quick.suppress(KeyError):
        raise ValueError("said")
    with quick.suppress():
        pass
