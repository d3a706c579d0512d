"""The forms of destinations that settings know before anything is loaded."""

import pytest

from lifecycle.contract.schemes import EVERY_SIGNAL, SCHEMES, SERVERS, forms, scheme_of
from lifecycle.contract.settings import Settings


@pytest.mark.parametrize("name", SCHEMES)
def test_scheme_takes_its_own_form_and_no_other(name: str) -> None:
    """A destination is written in one way; the name may be in any case."""
    examples = {"": "", ":": ":", ":PATH": ":/tmp/x"}
    mine = SCHEMES[name].form
    good = examples.get(mine, "://host:1/path")
    settings = Settings({"TAILRACE_DESTINATION": name.upper() + good})
    assert settings.destination == name + good
    for form in {*examples.values(), "://host:1/path"} - {good}:
        is_path = mine == ":PATH" and len(form) > 1  # nearly any text is a path
        assert bool(Settings({"TAILRACE_DESTINATION": name + form}).destination) is is_path


@pytest.mark.parametrize("name", SCHEMES)
def test_signals_are_what_is_asked_for_as_far_as_the_destination_takes_it(name: str) -> None:
    """All that it takes where none of them is asked for."""
    scheme = SCHEMES[name]
    example = name + {"": "", ":": ":", ":PATH": ":/tmp/x"}.get(scheme.form, "://host/stream")
    assert Settings({"TAILRACE_DESTINATION": example}).exported_signals() == scheme.signals
    for asked in EVERY_SIGNAL:
        settings = Settings({"TAILRACE_DESTINATION": example, "TAILRACE_SIGNALS": asked})
        assert settings.exported_signals() == ((asked,) if asked in scheme.signals else scheme.signals)


def test_unknown_scheme_is_none() -> None:
    """Nothing stands in for it."""
    assert scheme_of("ftp://x") is None
    assert scheme_of("") is None


def test_forms_are_told_as_people_write_them() -> None:
    """With and without TLS in one."""
    assert forms(SERVERS) == "http(s)://HOST[:PORT][/PATH]"
    assert forms(SCHEMES).startswith("otlp, otlp+http(s)://HOST[:PORT][/PATH], ")


def test_path_that_is_a_key_is_a_secret() -> None:
    """A webhook's is; an OTLP endpoint's is not."""
    for name, scheme in SCHEMES.items():
        if scheme.form.startswith("://"):
            secrets = set(Settings({"TAILRACE_DESTINATION": f"{name}://host/key"}).secrets())
            assert secrets == ({"key"} if scheme.path_is_secret else set())
