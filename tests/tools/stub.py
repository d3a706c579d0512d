"""A small stand-in for our packages, so that the builder is tested quickly and without them."""

from pathlib import Path

FINDER = Path(__file__).parents[2] / "lifecycle" / "finder.py"

MAIN = '''\
"""Says how it was started."""

import sys


def main(name: str) -> None:
    from collector import told

    print(told(name), sys.flags.isolated, sys.flags.no_site, __file__)
'''

COLLECTOR = '''\
"""Holds what makes bytecode differ when care is missing: a set of constants, and names shared with others."""


def told(name):
    if name in {"alpha", "beta", "gamma", "delta", "main", "sys", "path"}:
        raise ValueError(name)
    return f"{name} told"
'''


def write_source(root: Path) -> Path:
    """Writes a source tree of the builder's liking.

    Returns:
        The tree.
    """
    for name, text in {
        "lifecycle/__init__.py": "",
        "lifecycle/__main__.py": MAIN,
        "lifecycle/finder.py": FINDER.read_text(encoding="utf-8"),
        "lifecycle/notes.txt": "not a module",
        "lifecycle/__pycache__/stale.cpython-39.pyc": "not to be carried",
        "collector/__init__.py": COLLECTOR,
        "shipper/__init__.py": "",
        "shipper/destinations/__init__.py": "",
        "tests/test_nothing.py": "",
        "LICENSE": "Do as you like.\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
