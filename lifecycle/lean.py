"""msgspec and httptools without what nothing of ours uses; how they are loaded, never what they do.

Loading them brings in the typing module, decimals, UUIDs, protocols, schemas and all that those need: over half of
what the supervisor has in memory when it forks, which the workers then copy piece by piece as they run. No message
and no record of ours has such a value, and no annotation of ours needs more than the built-in types. So stand-ins are
there while the two are loaded; whoever imports the modules later, as structlog does, gets the real ones.

Our own modules import typing for the type checker alone, and say `object` where msgspec would take `Any`.
"""

import sys
from types import SimpleNamespace


class _Absent:
    """The type of no value."""

    unknown = None


def _annotations(cls: type) -> dict[str, object]:
    """What msgspec asks for of a `Struct` that is to be decoded.

    Returns:
        Types by the names of fields.

    Raises:
        TypeError: One is written as text, which could only be evaluated.
    """
    hints: dict[str, object] = {}
    for base in reversed(cls.__mro__[:-1]):
        for name, hint in getattr(base, "__annotations__", {}).items():
            if isinstance(hint, str):
                raise TypeError(f"got {name}: {hint!r} in {base.__name__}, expected a type that is not in quotes")
            hints[name] = type(None) if hint is None else hint
    return hints


_FORMS = ("ClassVar", "Final", "Generic", "Literal", "TypeAliasType", "TypeVar", "_AnnotatedAlias", "_GenericAlias")
_STAND_INS = {
    "typing": SimpleNamespace(Any=object, Union=type(int | None), Optional=None, **dict.fromkeys(_FORMS, _Absent)),
    "decimal": SimpleNamespace(Decimal=_Absent),
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


def load() -> None:
    """Imports both; to be called before anything else does."""
    absent = {name: stand_in for name, stand_in in _STAND_INS.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        import httptools  # noqa: F401
        import msgspec  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
