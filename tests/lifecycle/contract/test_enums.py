"""Enumerations of ours: what is asked of them."""

from lifecycle.contract.enums import Enum


class Light(Enum):
    """Of a street."""

    RED = "stop"
    """Explained."""
    GREEN = "go"

    @property
    def lets_pass(self) -> bool:
        """Never a member."""
        return self is Light.GREEN


def test_members_are_objects_with_a_name_and_a_value() -> None:
    assert (Light.RED.name, Light.RED.value, repr(Light.RED)) == ("RED", "stop", "Light.RED")
    assert list(Light) == [Light.RED, Light.GREEN]


def test_members_are_told_apart_by_identity() -> None:
    assert len({Light.RED, Light.GREEN, Light.RED}) == 2
    match Light.GREEN:
        case Light.RED:
            raise AssertionError
        case Light.GREEN:
            pass


def test_what_a_class_of_them_does_is_no_member() -> None:
    assert (Light.RED.lets_pass, Light.GREEN.lets_pass) == (False, True)
