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
    """What it usually is sent where none of them is asked for; what it does not take is said."""
    scheme = SCHEMES[name]
    example = name + {"": "", ":": ":", ":PATH": ":/tmp/x"}.get(scheme.form, "://host/stream")
    keys = {"TAILRACE_HEADERS": f"{scheme.keys[0]}=k"} if scheme.keys else {}
    assert Settings({"TAILRACE_DESTINATION": example, **keys}).exported_signals() == scheme.usual
    for asked in EVERY_SIGNAL:
        settings = Settings({"TAILRACE_DESTINATION": example, "TAILRACE_SIGNALS": asked, **keys})
        assert settings.exported_signals() == ((asked,) if asked in scheme.signals else scheme.usual)
        told = [(problem.variable, problem.value, problem.used) for problem in settings.problems]
        is_taken = asked in scheme.signals
        assert told == ([] if is_taken else [("TAILRACE_SIGNALS", asked, ",".join(scheme.usual))])


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.keys])
def test_key_that_must_be_there_is_missed_before_it_is_asked_for(name: str) -> None:
    """In a header of any case, or as the address' user; what is done without is said."""
    (problem,) = Settings({"TAILRACE_DESTINATION": f"{name}://host/a?b=c@d"}).problems
    assert (problem.variable, problem.used) == ("TAILRACE_HEADERS", "no key: records wait")
    assert f"{name} takes nothing" in problem.expected
    for key in SCHEMES[name].keys:
        assert key in problem.expected
        assert not Settings(
            {"TAILRACE_DESTINATION": f"{name}://host/a", "TAILRACE_HEADERS": f"{key.upper()}=k"}
        ).problems
    assert not Settings({"TAILRACE_DESTINATION": f"{name}://x:k@host/a"}).problems
    assert not Settings({"TAILRACE_DESTINATION": f"{name}://host/a", "TAILRACE_PASSWORD": "k"}).problems


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
