"""What users' patterns mean: one answer for whoever asks."""

import pytest

from lifecycle.contract.patterns import HIDDEN, READY_MADE, names_meant, near_name, problems, read
from lifecycle.contract.settings import Settings


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("emial", "email"), ("emal", "email"), ("emails", "email"), ("e-mail", "email"), ("Email", "email")),
        *(("car", "card"), ("cards", "card"), ("bearr", "bearer"), ("aws-key", "aws_key"), ("awskey", "aws_key")),
        *(("jtw", "jwt"), ("jwts", "jwt"), ("", ""), ("x", ""), ("crd!", ""), ("mail", "email"), ("ssn", "")),
        *(("creditcard", ""), ("token", ""), ("key", ""), ("email|card", "")),
    ],
)
def test_one_edit_from_a_name(text: str, name: str) -> None:
    """One letter more, less or other, or two that changed places; capitals are no difference."""
    assert near_name(text) == name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("card,email", ["card", "email"]),
        ("card, emial", ["card", "email"]),
        ("email|jwt", ["email", "jwt"]),
        ("card email", ["card", "email"]),
        ("card,ssn", []),
        ("email", ["email"]),
        ("", []),
        ("(?:card|email)", []),
    ],
)
def test_names_that_are_not_separated_by_semicolons_are_meant_as_names(text: str, names: list[str]) -> None:
    """As other tools have lists; not if anything else stands among them."""
    assert names_meant(text) == names


def test_every_name_is_near_to_itself_and_to_no_other() -> None:
    assert {name: near_name(name) for name in READY_MADE} == {name: name for name in READY_MADE}


def test_a_name_means_the_ready_made_one_alone() -> None:
    reading = read("TAILRACE_REDACT", ("card", "x+=>y"), is_redaction=True)
    assert [(rule.ready_made, rule.replacement) for rule in reading.rules] == [("card", None), ("", "y")]
    assert (reading.unusable, reading.misspelt) == ([], [])


def test_each_problem_is_one_of_the_variable_that_has_it() -> None:
    """Those of every route, once where they share it; a redaction is not shown, for it may be the secret itself."""
    settings = Settings(
        {
            "TAILRACE_DESTINATION": "stdout:",
            "TAILRACE_DESTINATION_B": "stdout:",
            "TAILRACE_REDACT": "emial",
            "TAILRACE_REDACT_B": "hunter2(",
            "TAILRACE_DROP": "(;ok",
        }
    )
    found = {problem.variable: problem for problem in problems(settings)}
    assert [(name, one.value, one.is_fatal) for name, one in sorted(found.items())] == [
        ("TAILRACE_DROP", "(", True),
        ("TAILRACE_REDACT", "emial", True),
        ("TAILRACE_REDACT_B", HIDDEN, True),
    ]
    assert "hunter2" not in str([problem.explained() for problem in found.values()])
    assert [len([*problems(one)]) for one in (Settings({}), Settings({"TAILRACE_REDACT": "card"}))] == [0, 0]
