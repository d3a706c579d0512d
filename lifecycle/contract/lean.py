"""Libraries without what nothing of ours uses: how they are loaded, never what they do.

Loading msgspec and httptools brings in the typing module, dates written in Python, decimals, UUIDs, protocols, schemas
and all that those need: over half of what the supervisor has in memory when it forks, which the workers then copy piece
by piece as they run. No message and no record of ours has such a value but a date, for which the interpreter's own
`_datetime` is enough, and no annotation of ours needs more than the built-in types: none names an enumeration or a
pattern, for which msgspec has `enum` and `re` loaded, which take as long as the bare interpreter's start. So stand-ins
are there while the two are loaded; whoever imports the modules later gets the real ones. structlog is loaded in the
same way, when a process says its first line: without asyncio, logging, its console and its own loggers; and tenacity
with the first retry, without what it has for asyncio, and to log with; and of zlib-ng, with the first large bodies, the
compiled module alone.

Our own modules import typing for the type checker alone, and say `object` where msgspec would take `Any`.
"""

import _datetime  # type: ignore[import-not-found]
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import SimpleNamespace
else:
    SimpleNamespace = type(sys.implementation)  # `types` would have to be loaded for it


class _Absent:
    """The type of no value, and a value that nobody uses."""

    unknown = None

    def __init__(self, **_: object) -> None: ...


def _annotations(cls: type) -> dict[str, object]:
    """What msgspec asks for of a `Struct` that is to be decoded.

    Returns:
        Types by the names of fields.

    Raises:
        TypeError: One is written as text, which could only be evaluated.
    """
    types: dict[str, object] = {}
    for base in reversed(cls.__mro__[:-1]):
        for name, annotation in getattr(base, "__annotations__", {}).items():
            if isinstance(annotation, str):
                raise TypeError(f"got {name}: {annotation!r} in {base.__name__}, expected a type that is not in quotes")
            types[name] = type(None) if annotation is None else annotation
    return types


_FORMS = ("ClassVar", "Final", "Generic", "Literal", "TypeAliasType", "TypeVar", "_AnnotatedAlias", "_GenericAlias")
_FOR_MESSAGES: dict[str, object] = {
    "typing": SimpleNamespace(Any=object, Union=type(int | None), Optional=None, **dict.fromkeys(_FORMS, _Absent)),
    "datetime": _datetime,
    "decimal": SimpleNamespace(Decimal=_Absent),
    "enum": SimpleNamespace(EnumMeta=_Absent),
    "re": SimpleNamespace(compile=None),
    "__future__": SimpleNamespace(annotations=None),
    "types": SimpleNamespace(UnionType=type(int | None)),
    "uuid": SimpleNamespace(UUID=_Absent, SafeUUID=_Absent),
    "msgspec._utils": SimpleNamespace(
        _AnnotatedAlias=_Absent,
        _CONCRETE_TYPES={kind: kind for kind in (list, tuple, set, frozenset, dict)},
        _GenericAlias=_Absent,
        call_annotate_forwardref=lambda annotate: annotate(1),  # VALUE, of annotationlib.Format
        convert_generic_alias=None,
        get_class_annotations=_annotations,
        get_dataclass_info=None,
        get_type_hints=None,
        get_typeddict_info=None,
        rebuild=None,
    ),
    "msgspec._json_schema": SimpleNamespace(schema=None, schema_components=None),
    "msgspec.inspect": SimpleNamespace(),
    "msgspec.toml": SimpleNamespace(),
    "msgspec.yaml": SimpleNamespace(),
    "httptools.parser.protocol": SimpleNamespace(HTTPProtocol=None),
    "httptools.parser.url_parser": SimpleNamespace(parse_url=None),
}


_LOGGERS = ("BytesLogger", "PrintLogger", "WriteLogger")
_LOG_TYPES = (
    *("BindableLogger", "Context", "EventDict", "ExcInfo", "ExceptionRenderer", "ExceptionTransformer"),
    *("FilteringBoundLogger", "Processor", "ProcessorReturnValue", "WrappedLogger"),
)
_FOR_LOG: dict[str, object] = {
    "asyncio": SimpleNamespace(),
    "logging": SimpleNamespace(),
    "pickle": SimpleNamespace(PicklingError=Exception),
    "structlog._native": SimpleNamespace(make_filtering_bound_logger=lambda _: None),
    "structlog._output": SimpleNamespace(
        **dict.fromkeys((*_LOGGERS, *(f"{logger}Factory" for logger in _LOGGERS)), _Absent)
    ),
    "structlog.contextvars": SimpleNamespace(
        merge_contextvars=None, _ASYNC_CALLING_STACK=None, _ASYNC_CALLING_THREAD=None
    ),
    "structlog.dev": SimpleNamespace(ConsoleRenderer=_Absent, _has_colors=False, set_exc_info=None),
    "structlog.stdlib": SimpleNamespace(),
    "structlog.testing": SimpleNamespace(ReturnLogger=None, ReturnLoggerFactory=None),
    "structlog.threadlocal": SimpleNamespace(),
    "structlog.tracebacks": SimpleNamespace(ExceptionDictTransformer=_Absent),
    "structlog.types": SimpleNamespace(),
    "structlog.typing": SimpleNamespace(**dict.fromkeys(_LOG_TYPES, _Absent)),
}

_FOR_RETRIES: dict[str, object] = {
    "tenacity.after": SimpleNamespace(after_log=None, after_nothing=lambda _: None),
    "tenacity.asyncio": SimpleNamespace(AsyncRetrying=_Absent),
    "tenacity.before": SimpleNamespace(before_log=None, before_nothing=lambda _: None),
    "tenacity.before_sleep": SimpleNamespace(before_sleep_log=None, before_sleep_nothing=None),
}

_FOR_LARGE_BODIES: dict[str, object] = {
    "gzip": SimpleNamespace(BadGzipFile=OSError),
    "zlib_ng._version": SimpleNamespace(__version__=""),
}


def load() -> None:
    """Imports msgspec and httptools; to be called before anything else does."""
    with _standing_in(_FOR_MESSAGES):
        import httptools  # noqa: F401
        import msgspec  # noqa: F401


def load_structlog() -> None:
    """Imports structlog."""
    with _standing_in(_FOR_LOG):
        import structlog  # noqa: F401


def load_tenacity() -> None:
    """Imports tenacity."""
    with _standing_in(_FOR_RETRIES):
        import tenacity  # noqa: F401


def load_zlib_ng() -> None:
    """Imports zlib-ng.

    Raises:
        ImportError: It is not there, or not for this Python.
    """
    with _standing_in(_FOR_LARGE_BODIES):
        import zlib_ng.zlib_ng  # noqa: F401


class _standing_in:  # noqa: N801 - used as a statement
    """Puts stand-ins where modules are not loaded yet, and takes them away again."""

    def __init__(self, stand_ins: dict[str, object]) -> None:
        self._absent = {name: stand_in for name, stand_in in stand_ins.items() if name not in sys.modules}

    def __enter__(self) -> None:
        sys.modules.update(self._absent)  # type: ignore[arg-type]

    def __exit__(self, *_: object) -> None:
        for name in self._absent:
            del sys.modules[name]
