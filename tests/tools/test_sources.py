"""What of our sources the layer carries."""

import ast

import pytest

from lifecycle.contract.settings import Settings
from tests.test_imports import modules
from tools import sources

TOLD = {row.about for row in Settings.table()}

WRITTEN = '''"""Says
what it is."""
import os  # what for

NAME = "# none"  # one


class Message:
    """Says."""

    def at(self) -> str:
        """Says
        more."""
        return """kept
# kept"""
'''

CARRIED = '''""

import os

NAME = "# none"


class Message:
    ""

    def at(self) -> str:
        ""

        return """kept
# kept"""
'''


def test_words_go_and_statements_stay_on_their_lines() -> None:
    assert sources.bare(WRITTEN) == CARRIED
    assert sources.bare("") == ""
    assert sources.bare("def x(:") == "def x(:"


@pytest.mark.parametrize("package", ["lifecycle", "collector", "shipper"])
def test_what_our_modules_do_is_the_same(package: str) -> None:
    """Their syntax is, but for docstrings and what the table of settings says to readers."""
    for name, path in modules().items():
        if name.startswith(package):
            text = path.read_text(encoding="utf-8")
            bare = sources.bare(text)
            assert ast.dump(_wordless(text)) == ast.dump(_wordless(bare)), name
            assert bare.count("\n") == text.count("\n")


def _wordless(text: str) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = ast.get_docstring(node, clean=False)
            node.body = node.body[words is not None :]
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[-1], ast.Constant):
            told = node.args[-1].value
            if isinstance(told, str) and told in TOLD:
                node.args[-1].value = ""
        if isinstance(node, ast.keyword) and node.arg == "about" and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return tree


TABLE = """class Settings:
    enabled = Flag(default=True, about="0 keeps it idle.")
    api = Choice(
        "telemetry",
        "By which API to "
        "subscribe.",
        options=("telemetry", "logs"),
    )
    limit = LIMIT
"""

TABLE_CARRIED = """class Settings:
    enabled = Flag(default=True, about="")
    api = Choice(
        "telemetry",
        ""
,
        options=("telemetry", "logs"),
    )
    limit = LIMIT
"""


def test_of_settings_there_is_no_text_for_readers() -> None:
    """Which docs/settings.md alone has, made of the table in a checkout."""
    assert sources.bare(TABLE) == TABLE_CARRIED
