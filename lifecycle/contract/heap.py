"""What a process does with large blocks of memory: gives them back once they are done with.

By default glibc learns from each large block that is freed. Blocks up to that size come from the heap from then on, and
the heap's end is given back only beyond twice as much: a batch of 4 MB leaves 8 MB behind, for the life of the
environment. To set both limits ends the learning, and a large block is a mapping of its own, gone when it is freed.

Called when the first large block comes, so a quiet function loads nothing for it. `_ctypes` alone does it; `ctypes`
around it costs ten times as much. Source: mallopt(3).
"""

# Both limits as glibc begins with them.
LARGE_BYTES = 131_072

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LIMITS = (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)

_state = {"is_done": False}


def give_back_large_blocks() -> None:
    """Tells the C library; where it is not glibc, or the interpreter has no `_ctypes`, nothing changes."""
    if _state["is_done"]:
        return
    _state["is_done"] = True
    try:
        import _ctypes

        class Call(_ctypes.CFuncPtr):
            _flags_ = _ctypes.FUNCFLAG_CDECL
            _restype_ = None

        mallopt = Call(_ctypes.dlsym(_ctypes.dlopen("", 2), "mallopt"))  # "" is the process itself: dlopen(3)
    except (ImportError, OSError):
        return
    for limit in _LIMITS:
        mallopt(limit, LARGE_BYTES)
