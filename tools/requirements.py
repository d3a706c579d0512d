"""Prints what the `dev` extra names, one requirement a line, for pip: `python -m tools.requirements`.

The project itself is not installed: its packages are the layer's, and no tool needs them anywhere but here.
"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib


def extra(pyproject: str, name: str) -> list[str]:
    """The requirements of an extra.

    Args:
        pyproject: The text of pyproject.toml.
        name: The extra's name.
    """
    table = tomllib.loads(pyproject)
    requirements: list[str] = table["project"]["optional-dependencies"][name]
    return requirements


if __name__ == "__main__":
    print(*extra(Path("pyproject.toml").read_text(encoding="utf-8"), "dev"), sep="\n")
