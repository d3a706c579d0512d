"""Our sources as the layer carries them: what a traceback shows and a Python without bytecode compiles."""

import ast
import io
import tokenize

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


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
        words = node.body[0]
        # A body must not be empty: one that is nothing else keeps an empty string.
        lines[words.lineno - 1] = lines[words.lineno - 1][: words.col_offset] + '""'
        for number in range(words.lineno, words.end_lineno or words.lineno):
            lines[number] = ""
    return "\n".join(lines) + "\n" if lines else ""
