"""Starts Tailrace. The layer's `extensions/tailrace` is this text under a line that names the interpreter."""

import sys

# Since Python 3.9 a script's __file__ is absolute, whatever it was started as and from wherever.
root, _, name = __file__.rpartition("/extensions/")

# First on the path: nothing of ours is looked for in the standard library's folders.
sys.path.insert(0, root + "/tailrace")

from lifecycle import finder  # noqa: E402

finder.install(sys.path[0])

from lifecycle.__main__ import main  # noqa: E402

main(name.rpartition("/")[2])
