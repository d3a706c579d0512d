"""Our sources as the layer carries them: what a traceback shows and a Python without bytecode compiles."""

import ast
import io
import tokenize
from collections.abc import Iterator

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


# The class that is a table of settings: what its rows say of them is for docs/settings.md alone.
_TABLE = "Settings"


def bare(text: str) -> str:
    """A source without docstrings and comments, every statement on the line that it stood on.

    One that is not valid is left as it is: whoever compiles it says what is wrong.
    """
    lines = text.splitlines()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            number, column = token.start
            lines[number - 1] = lines[number - 1][:column].rstrip()
    for node in ast.walk(tree):
        if not isinstance(node, _DOCUMENTED) or ast.get_docstring(node, clean=False) is None:
            continue
        # A body must not be empty: one that is nothing else keeps an empty string.
        _empty(lines, node.body[0])
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == _TABLE:
            for words in _texts(node):
                _empty(lines, words)
    return "\n".join(lines) + "\n" if lines else ""


def _texts(table: ast.ClassDef) -> Iterator[ast.expr]:
    """What each row says about a setting: `about`, or its last plain argument."""
    for row in table.body:
        if isinstance(row, ast.Assign) and isinstance(row.value, ast.Call):
            named = [keyword.value for keyword in row.value.keywords if keyword.arg == "about"]
            yield from named or row.value.args[-1:]


def _empty(lines: list[str], words: ast.expr | ast.stmt) -> None:
    """Leaves an empty string of one in a source; what stands around it stays on its line."""
    first, last = words.lineno - 1, (words.end_lineno or words.lineno) - 1
    behind = lines[last].encode()[words.end_col_offset :].decode()
    lines[first] = lines[first].encode()[: words.col_offset].decode() + '""'
    for number in range(first + 1, last + 1):
        lines[number] = ""
    lines[last] += behind
