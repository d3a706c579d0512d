"""Starts Tailrace. The layer's `extensions/tailrace` is this text under a line that names the interpreter."""

import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

# Since Python 3.9 a script's __file__ is absolute, whatever it was started as and from wherever.
root, _, name = __file__.rpartition("/extensions/")

# First on the path: nothing of ours is looked for in the standard library's folders.
root += "/tailrace"
sys.path.insert(0, root)

# Without bytecode for this Python the sources are compiled. See lifecycle/finder.py.
try:
    file = posix.open(f"{root}/{sys.implementation.cache_tag}.bundle", posix.O_CLOEXEC)
    head = posix.pread(file, 16384, 0)
except OSError:
    head = b""
if head.startswith(MAGIC_NUMBER):
    finder = {"__name__": "lifecycle.finder"}
    code, index = loads(head[4:])  # noqa: S302 - as the interpreter does
    exec(code, finder)  # noqa: S102 - likewise
    sys.meta_path.insert(0, finder["Finder"](root, file, index))  # type: ignore[operator]

from lifecycle.__main__ import main  # noqa: E402

main(name.rpartition("/")[2])
