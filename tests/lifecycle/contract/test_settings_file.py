"""Settings out of a file: what of it is taken, what is said of the rest, and that a file is what the environment is."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.boot import refused_by
from lifecycle.contract.settings import Settings
from lifecycle.contract.settings_file import MOST_BYTES

FILE = "TAILRACE_SETTINGS_FILE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a file may lie."""
    return tmp_path / "tailrace.env"


def with_file(path: Path, text: str | bytes, **environ: str) -> Settings:
    """Settings of an environment that names a file with this in it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Settings({**environ, FILE: str(path)})


def said(settings: Settings) -> list[tuple[str, str]]:
    """Of what is wrong, the variable and what it held."""
    return [(problem.variable, problem.value) for problem in settings.problems]


def test_lines_are_settings_under_those_of_the_environment(file: Path) -> None:
    """Blank lines and comments are none; an empty variable is an unset one."""
    text = "# of all functions\n\nTAILRACE_DESTINATION=stdout:\nTAILRACE_FLUSH = end\nTAILRACE_MIN_LEVEL=warn\n"
    settings = with_file(file, text, TAILRACE_FLUSH="adaptive", TAILRACE_MIN_LEVEL=" ")
    assert settings.problems == []
    assert (settings.destination, settings.flush, settings.min_level) == ("stdout:", "adaptive", "warn")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("other", ["HTTPS_PROXY", "https_proxy"])
def test_the_environments_own_counts_under_either_name(file: Path, name: str, other: str) -> None:
    """Though the name in the file may be the one that is looked at first."""
    settings = with_file(file, f"{name}=http://file:1\n", **{other: "http://environment:1"})
    assert settings.https_proxy == "http://environment:1"


def test_files_of_other_programs_are_read(file: Path) -> None:
    """With a mark at the beginning, carriage returns, and quotes around values, which are no part of them."""
    text = b"\xef\xbb\xbfTAILRACE_DESTINATION=\"stdout:\"\r\nTAILRACE_FLUSH='end'\r\nTAILRACE_KEEP=a=b\xff\r\n"
    settings = with_file(file, text)
    assert settings.problems == []
    assert (settings.destination, settings.flush, settings.keep) == ("stdout:", "end", ("a=b\ufffd",))


def test_routes_are_declared_there_too(file: Path) -> None:
    """With the settings that end in their names."""
    text = "TAILRACE_DESTINATION_ARCHIVE=s3://bucket\nTAILRACE_MIN_LEVEL_ARCHIVE=error\n"
    settings = with_file(file, text, TAILRACE_DESTINATION="stdout:")
    assert [(route.route, route.min_level) for route in settings.routes] == [("default", ""), ("archive", "error")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hunter2", "NAME=VALUE"),
        ("export TAILRACE_FLUSH=end", "NAME=VALUE"),
        ("s3cr-t=x", "NAME=VALUE"),
        ("=x", "NAME=VALUE"),
        ("AWS_LAMBDA_EXEC_WRAPPER=/opt/tailrace/wrap", "a setting of Tailrace's"),
        ("OTEL_TRACES_EXPORTER=otlp", "a setting of Tailrace's"),
        ("AWS_ACCESS_KEY_ID=x", "a setting of Tailrace's"),
    ],
)
def test_line_that_is_none_is_one_warning_with_its_number(file: Path, line: str, expected: str) -> None:
    """Not with what stands there, which may be a secret; and the others are taken."""
    settings = with_file(file, f"\nTAILRACE_DESTINATION=stdout:\n{line}\nTAILRACE_MIN_LEVEL=warn\n")
    assert said(settings) == [(FILE, "line 3")]
    (problem,) = settings.problems
    assert problem.explained()["expected"].startswith(expected)
    assert problem.is_fatal
    assert (settings.destination, settings.min_level) == ("stdout:", "warn")
    assert settings.aws.keys == ("", "", "")
    assert not settings.otlp_intake


def test_name_that_is_misspelt_is_answered_as_in_the_environment(file: Path) -> None:
    """With the nearest there is; and a bad value by its own name."""
    settings = with_file(file, "TAILRACE_FLUHS=end\nTAILRACE_FLUSH=never\n", TAILRACE_DESTINATION="stdout:")
    assert said(settings) == [("TAILRACE_FLUSH", "never"), ("TAILRACE_FLUHS", "(hidden)")]
    assert "TAILRACE_FLUSH" in settings.problems[1].explained()["expected"]


def test_of_a_name_that_stands_twice_the_last_is_used_and_it_is_said(file: Path) -> None:
    """As a shell would; somebody has changed the wrong one."""
    settings = with_file(file, "TAILRACE_MIN_LEVEL=warn\nTAILRACE_DESTINATION=stdout:\nTAILRACE_MIN_LEVEL=error\n")
    assert said(settings) == [(FILE, "line 3")]
    assert settings.min_level == "error"


def test_file_that_cannot_be_read_is_one_warning(tmp_path: Path) -> None:
    """It is named, and the environment's own settings hold; nobody is waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path):
        settings = Settings({FILE: str(path), "TAILRACE_DESTINATION": "stdout:"})
        assert said(settings) == [(FILE, str(path))]
        assert settings.destination == "stdout:"
    assert Settings({FILE: str(tmp_path / "pipe"), "TAILRACE_DESTINATION": "stdout:"}).problems == []


@pytest.mark.parametrize(("more", "is_taken"), [(0, True), (1, False)])
def test_file_has_64_kb_at_most(file: Path, more: int, *, is_taken: bool) -> None:
    """Of a larger one nothing is taken: its last line may be half of one."""
    line = b"TAILRACE_DESTINATION=stdout:\n#"
    settings = with_file(file, line + b"x" * (MOST_BYTES - len(line) + more))
    assert settings.has_destination is is_taken
    assert said(settings) == ([] if is_taken else [(FILE, str(file))])


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("TAILRACE_HEADERS=Authorization=Bearer abc", ["TAILRACE_HEADERS"]),
        ("TAILRACE_HEADERS=Authorization=Bearer @{ssm:/key}", []),
        ("TAILRACE_HEADERS=X-Scope-OrgID=tenant", []),
        ("OTEL_EXPORTER_OTLP_HEADERS=api-key=abc,x-team=@{ssm:/key}", ["OTEL_EXPORTER_OTLP_HEADERS"]),
        ("TAILRACE_PASSWORD=abc", ["TAILRACE_PASSWORD"]),
        ("TAILRACE_PASSWORD=@{secretsmanager:name#key}", []),
        ("TAILRACE_USER=12345", []),
        ("TAILRACE_DESTINATION=otlp+https://user:password@host.example", ["TAILRACE_DESTINATION"]),
        ("TAILRACE_DESTINATION=otlp+https://user:@{ssm:/key}@host.example", []),
        ("TAILRACE_DESTINATION=otlp+https://host.example?api_key=abc", ["TAILRACE_DESTINATION"]),
        ("https_proxy=http://user:password@proxy:3128", ["HTTPS_PROXY"]),
        ("TAILRACE_DESTINATION_PAGER=https://user:password@pager.example", ["TAILRACE_DESTINATION_PAGER"]),
    ],
)
def test_plain_secret_gets_a_hint(file: Path, line: str, variables: list[str]) -> None:
    """It is used, and no init error: what could stand there is said, and not what stands there."""
    settings = with_file(file, line + "\n", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", TAILRACE_STRICT="1")
    hints = [problem for problem in settings.problems if problem.expected.startswith("a secret by reference")]
    assert [(hint.variable, hint.value) for hint in hints] == [(variable, "(hidden)") for variable in variables]
    assert refused_by(settings) == []
    assert not variables or any("abc" in text or "password" in text for text in settings.secrets())


def test_the_same_secret_in_the_environment_gets_none(file: Path) -> None:
    """Also where the file has one as well, which is not used."""
    own = {"TAILRACE_HEADERS": "api-key=def", "TAILRACE_DESTINATION": "stdout:"}
    settings = with_file(file, "TAILRACE_HEADERS=api-key=abc\n", **own)
    assert settings.problems == []
    assert settings.headers == (("api-key", "def"),)


def test_nothing_is_read_where_no_file_is_named(file: Path) -> None:
    """What lies there is nobody's."""
    file.write_text("TAILRACE_DESTINATION=stdout:\n")
    assert not Settings({FILE: " "}).has_destination


@given(
    st.dictionaries(
        st.sampled_from([row.variable for row in Settings.table() if row.attribute != "settings_file"]),
        st.sampled_from(["1", "0", "end", "warn", "stdout:", "https://u:p@h/x", "a=b,c=d", "1000", "logs", "\u00e9"]),
    )
)
def test_settings_are_the_same_from_either(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    """Whatever they are."""
    path = tmp_path_factory.getbasetemp() / "either.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    of_file, of_environ = Settings({FILE: str(path)}), Settings(values)
    assert {**of_file.values, "settings_file": ""} == of_environ.values
    assert [route.values for route in of_file.routes[1:]] == [route.values for route in of_environ.routes[1:]]
    others = [problem for problem in of_file.problems if not problem.expected.startswith("a secret by reference")]
    assert [(p.variable, p.value, p.expected, p.used) for p in others] == [
        (p.variable, p.value, p.expected, p.used) for p in of_environ.problems
    ]
