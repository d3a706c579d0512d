"""What of our sources the layer carries."""

import ast

import pytest

from tests.test_imports import modules
from tools import sources

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
    """Their syntax is, but for docstrings."""
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
    return tree
