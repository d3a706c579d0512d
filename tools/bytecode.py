"""Compiles a tree ahead of time: `python -S bytecode.py TREE PREFIX [FINDER]`.

With the module that finds the others, by its path in the tree, into one bundle; else into a file a module.

A program of its own, because each Python compiles its own bytecode: it imports nothing of the project. Run it in a
fresh interpreter with PYTHONHASHSEED=0. The same sources then give the same bytes: before Python 3.11 the order of a
set of constants depends on the seed, and in every version the marks that marshal puts on what it may refer to again
depend on who else holds the object.
"""

import _sre  # type: ignore[import-not-found]
import ast
import importlib
import marshal
import py_compile
import re
import struct
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Nothing that the layer loads reads a docstring, which every process of the three would otherwise keep in memory. Our
# own modules go without what is there for the type checker, too, which would be evaluated at cold start; so do the
# libraries in which nothing reads annotations but those of classes.
OURS = frozenset({"lifecycle", "collector", "shipper"})
UNANNOTATED = OURS | {"structlog", "tenacity"}
WITHOUT_DOCSTRINGS = 2

# Modules of the standard library that stand around another, mostly in C, which alone is loaded where nothing else of
# them is used: the interpreter has it, or opens one file for it.
HALVES = {
    "collections": "_collections",
    "collections.abc": "_collections_abc",
    "functools": "_functools",
    "operator": "_operator",
    "os": "posix",
    "struct": "_struct",
}

# What compiles patterns, which from Python 3.11 on lies in a package.
_COMPILER: Any = importlib.import_module("re._compiler" if "re._compiler" in sys.modules else "sre_compile")
_PARSER: Any = importlib.import_module("re._parser" if "re._compiler" in sys.modules else "sre_parse")

# Modules whose patterns ordinary lines are looked at with. Those of the others are rarely used, or beside what has `re`
# loaded in any case, and would take as many bytes of what Lambda fetches.
WITH_PATTERNS = frozenset(
    {
        "lifecycle/contract/json_text.py",
        "shipper/model/context.py",
        "shipper/model/events.py",
        "shipper/model/severity.py",
        "shipper/model/trace_ids.py",
        "shipper/parse/log_parser.py",
        "shipper/parse/text_formats.py",
        "shipper/parse/times.py",
    }
)

# What is imported for annotations, of which nothing may be left.
FOR_ANNOTATIONS = frozenset({"collections.abc", "types"})

# What people run and no environment ever loads: bytecode of five Pythons is 80 KB of what Lambda fetches.
FOR_PEOPLE = frozenset({"lifecycle/check.py", "shipper/check.py"})

# In a table of lines (CPython, Objects/locations.md): the first byte of an entry, the kinds of entries without columns
# and without a line, what moves on by no line, and the most that one entry is about.
_IS_FIRST = 0x80
_NO_COLUMNS, _NO_LOCATION = 13, 15
_SAME_LINE = b"\0"
_MOST_UNITS = 8

# In marshal's bytes: the mark of what is referred to later, the types of which a thing is always so long, and those of
# which there is one thing in any case.
_IS_REFERRED = 0x80
_FIXED_BYTES = {b"0": 0, b"N": 0, b"F": 0, b"T": 0, b"S": 0, b".": 0, b"i": 4, b"g": 8, b"y": 16}
_ONCE_IN_ANY_CASE = frozenset({b"0", b"N", b"F", b"T", b"S", b"."})

# Among the parts of code, as marshal has them: the qualified name, and the first of those behind its line.
_QUALIFIED = 7
_TABLES = 8

# Without column numbers, which nothing but the carets of a traceback needs: a third of what is read at cold start, and
# over a megabyte of memory in three processes. Python 3.10 knows neither them nor the option, and takes no notice.
OPTIONS = ("-sS", "-W", "ignore", "-X", "no_debug_ranges")


def run(interpreter: Path, tree: Path, prefix: str, *finder: str) -> str:
    """Has an interpreter compile a tree, none of this process's environment in the result.

    Args:
        interpreter: A Python.
        tree: A directory of sources.
        prefix: Where the tree will lie when it runs.
        finder: The module that reads bundles, where one is to be made, by its path in the tree.

    Returns:
        What went wrong; "" if nothing.
    """
    import subprocess

    command = [str(interpreter), *OPTIONS, __file__, str(tree), prefix, *finder]
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(  # noqa: S603 - an interpreter of ours, with this very script
        command, env=environment, check=False, capture_output=True, text=True
    )
    return (done.stderr or f"status {done.returncode}") if done.returncode else ""


class _Bare(ast.NodeTransformer):
    """Takes away what nothing of ours reads at run time.

    That is the annotations of functions and variables, and what stands under TYPE_CHECKING. Those of a class's body
    stay: msgspec reads them.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function without annotations."""
        return self._bared(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Likewise."""
        return self._bared(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """A parameter without its annotation."""
        node.annotation = None
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """What stands there for the type checker goes; what is there instead stays."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """A variable of a module or a function: what is assigned, if anything."""
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class, with the annotations of its own body."""
        node.body = [
            bared
            for statement in node.body
            for bared in _listed(statement if isinstance(statement, ast.AnnAssign) else self.visit(statement))
        ] or [ast.copy_location(ast.Pass(), node)]
        return node

    def _bared(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        node.body = node.body or [ast.copy_location(ast.Pass(), node)]
        return node


class _Nearer(ast.NodeTransformer):
    """Imports nothing that is used no more, and of a module around one in C that one, where it has all that is used.

    Args:
        tree: A module without what only its readers need.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        self._uses: dict[str, set[str]] = {}
        as_attributes = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                self._uses.setdefault(node.value.id, set()).add(node.attr)
                as_attributes.add(id(node.value))
        # Handed on whole, a module may be used in any way.
        self._whole = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in as_attributes
        }

    def visit_Import(self, node: ast.Import) -> ast.AST:
        """`import os` as that of `posix`, under the same name."""
        for alias in node.names:
            name = alias.asname or alias.name
            if name not in self._whole and _is_in_half(alias.name, self._uses.get(name, set())):
                alias.name, alias.asname = HALVES[alias.name], name
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Likewise single names."""
        if node.module in FOR_ANNOTATIONS:
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in self._names]
        if node.module and not node.level and _is_in_half(node.module, {alias.name for alias in node.names}):
            node.module = HALVES[node.module]
        return node if node.names else None


def _is_in_half(module: str, names: set[str]) -> bool:
    """Whether the module in C that `module` stands around has the very things by these names."""
    if module not in HALVES:
        return False
    whole, half = importlib.import_module(module), importlib.import_module(HALVES[module])
    return all(getattr(whole, name, None) is getattr(half, name, module) for name in names)


def _listed(found: ast.AST | list[ast.stmt] | None) -> list[ast.stmt]:
    """What a visit made of a statement, as statements."""
    if found is None:
        return []
    return found if isinstance(found, list) else [found]  # type: ignore[list-item]


def _with_long_entries(code: CodeType) -> CodeType:
    """Code whose instructions of a line share an entry of its table of lines, up to eight units of code in each.

    The compiler gives each instruction one of its own, which takes more of what is read at cold start and stays in
    memory than the names do; who asks for an instruction's line is told the same.
    """
    if sys.version_info < (3, 11):  # the table is another, and short
        return code
    runs: list[tuple[int, bytes, int]] = []
    for kind, moved, units in _entries(code.co_linetable):
        is_same = kind == _NO_LOCATION or (kind == _NO_COLUMNS and moved == _SAME_LINE)
        if runs and is_same and runs[-1][0] == kind:
            runs[-1] = (*runs[-1][:2], runs[-1][2] + units)
        else:
            runs.append((kind, moved, units))
    table = bytearray()
    for kind, moved, units in runs:
        for at in range(0, units, _MOST_UNITS):
            table.append(_IS_FIRST | kind << 3 | min(units - at, _MOST_UNITS) - 1)
            table += moved if at == 0 or kind == _NO_LOCATION else _SAME_LINE
    constants = [_with_long_entries(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    return code.replace(co_linetable=bytes(table), co_consts=tuple(constants))


def _entries(table: bytes) -> "Iterator[tuple[int, bytes, int]]":
    """The entries of a table of lines: kind, by how many lines the line moves on as it is written, units of code."""
    at = 0
    while at < len(table):
        end = at + 1
        while end < len(table) and not table[end] & _IS_FIRST:
            end += 1
        yield table[at] >> 3 & 0b1111, table[at + 1 : end], (table[at] & 0b111) + 1
        at = end


def _patterns(tree: ast.Module) -> "tuple[Any, ...]":
    """The patterns of a module, each with what it is compiled to, as `late.know` takes them.

    They are made of constants of their module alone: each assignment is tried by itself, and one that needs anything
    else is passed over.
    """
    sources: dict[str | bytes, None] = {}
    names: dict[str, object] = {"late": SimpleNamespace(pattern=sources.setdefault)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            try:
                exec(compile(ast.Module([node], []), "", "exec"), names)  # noqa: S102 - sources of ours
            except Exception:  # noqa: BLE001, S112 - it needs what is not there
                continue
    return tuple([_compiled(source) for source in sources])


def _compiled(source: "str | bytes") -> "tuple[str | bytes, int, bytes, tuple[str | None, ...]]":
    """Source, flags, the engine's code, and the names of the groups by their numbers."""
    made: re.Pattern[Any] = re.compile(source)
    code = _COMPILER._code(_PARSER.parse(source), 0)  # noqa: SLF001 - what `re.compile` does
    names = {number: name for name, number in made.groupindex.items()}
    groups = tuple([names.get(number) for number in range(made.groups + 1)])
    return source, made.flags, struct.pack(f"={len(code)}I", *code), groups


class _Marshalled:
    """Marshal's bytes, read and written again with everything that is alike in a module once.

    The compiler has equal names, constants and kinds of variables once for a module, and whoever changes its code loses
    that: each function would have its own in memory, three times where three processes write to them. What marshal
    itself marks as referred to is but what was one object. Source of the format: CPython, Python/marshal.c.

    Args:
        data: Of a module's code.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        # By their numbers: how each thing begins, and what it consists of, again by numbers; and how often it is there.
        self._things: list[tuple[bytes, tuple[int, ...]]] = []
        self._number_of: dict[tuple[bytes, tuple[int, ...]], int] = {}
        self._uses: list[int] = []
        self._referred: list[int] = []

    def shared(self) -> bytes:
        """The same code, with what is alike written once and referred to."""
        whole = self._read()
        self._uses[whole] += 1
        out, references = bytearray(), dict[int, int]()
        self._write(whole, out, references)
        return bytes(out)

    def _taken(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _read(self) -> int:
        kind = self._taken(1)
        is_referred = bool(kind[0] & _IS_REFERRED)
        kind = bytes([kind[0] & ~_IS_REFERRED])
        if kind == b"r":
            return self._referred[int.from_bytes(self._taken(4), "little")]
        place = len(self._referred)
        if is_referred:
            self._referred.append(-1)
        head, parts = self._content(kind)
        number = self._known(head, parts)
        if is_referred:
            self._referred[place] = number
        return number

    def _content(self, kind: bytes) -> "tuple[bytes, tuple[int, ...]]":
        """How a thing begins, and its parts."""
        if kind in _FIXED_BYTES:
            return kind + self._taken(_FIXED_BYTES[kind]), ()
        if kind in b"zZ":  # short text
            size = self._taken(1)
            return kind + size + self._taken(size[0]), ()
        if kind in b"sutaA":  # bytes and text
            size = self._taken(4)
            return kind + size + self._taken(int.from_bytes(size, "little")), ()
        if kind == b"l":  # digits of 15 bits each
            size = self._taken(4)
            return kind + size + self._taken(2 * abs(int.from_bytes(size, "little", signed=True))), ()
        if kind == b"c":
            return self._code()
        if kind == b":":
            return kind, tuple([self._read() for _ in range(3)])
        if kind == b")":
            size = self._taken(1)
        elif kind in b"(>":
            size = self._taken(4)
        else:
            raise ValueError(f"no constant of ours is of marshal's type {kind!r}")
        return kind + size, tuple([self._read() for _ in range(int.from_bytes(size, "little"))])

    def _code(self) -> "tuple[bytes, tuple[int, ...]]":
        """Code: each is its own; its counts, parts, first line and tables."""
        count = 6 if sys.version_info < (3, 11) else 5
        counts = self._taken(4 * count)
        if sys.version_info < (3, 11):
            parts = [self._read() for _ in range(8)]
            line = self._taken(4)
            parts.append(self._read())
            return b"c" + counts + line, tuple(parts)
        parts = [self._read() for _ in range(8)]
        # Nobody asks a function of ours for the class that it is in.
        parts[_QUALIFIED] = parts[_QUALIFIED - 1]
        line = self._taken(4)
        parts += [self._read() for _ in range(2)]
        return b"c" + counts + line, tuple(parts)

    def _known(self, head: bytes, parts: "tuple[int, ...]") -> int:
        key = (head, parts)
        number = self._number_of.get(key, -1) if head[:1] != b"c" else -1
        if number < 0:
            number = self._number_of[key] = len(self._things)
            self._things.append(key)
            self._uses.append(0)
            for part in parts:
                self._uses[part] += 1
        return number

    def _write(self, number: int, out: bytearray, references: "dict[int, int]") -> None:
        if number in references:
            out += b"r" + references[number].to_bytes(4, "little")
            return
        head, parts = self._things[number]
        kind = head[0]
        if self._uses[number] > 1 and head[:1] not in _ONCE_IN_ANY_CASE:
            references[number] = len(references)
            kind |= _IS_REFERRED
        out.append(kind)
        if head[:1] == b"c":
            out += head[1:-4]
            for place, part in enumerate(parts):
                if place == _TABLES:
                    out += head[-4:]
                self._write(part, out, references)
            return
        out += head[1:]
        for part in parts:
            self._write(part, out, references)


def _with_patterns(tree: ast.Module) -> ast.Module:
    """A module that says what its patterns are compiled to before it has any."""
    imported = [
        number
        for number, node in enumerate(tree.body)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "late" for alias in node.names)
    ]
    patterns: Any = _patterns(tree)
    if patterns:
        know = ast.Attribute(ast.Name("late", ast.Load()), "know", ast.Load())
        known = ast.Call(know, [ast.Constant(_sre.MAGIC), ast.Constant(patterns)], [])
        tree.body.insert(imported[-1] + 1, ast.copy_location(ast.Expr(known), tree.body[imported[-1]]))
    return tree


def _bundled(source: Path, inside: Path, name: str) -> bytes:
    """The code of a module without what only its readers need.

    Raises:
        SyntaxError: It is not valid for this Python.
    """
    tree = ast.parse(source.read_bytes(), name)
    if inside.parts[0] in UNANNOTATED:
        tree = _Bare().visit(tree)
    if inside.parts[0] in OURS:
        tree = _Nearer(tree).visit(tree)
    if inside.as_posix() in WITH_PATTERNS:
        tree = _with_patterns(tree)
    code = compile(ast.fix_missing_locations(tree), name, "exec", dont_inherit=True, optimize=WITHOUT_DOCSTRINGS)
    data = marshal.dumps(_with_long_entries(code))  # in one go: what somebody else holds is marked by marshal
    return _Marshalled(data).shared() if inside.parts[0] in UNANNOTATED else data


def _name_of(inside: Path) -> str:
    """A module's dotted name."""
    return ".".join(inside.with_suffix("").parts).removesuffix(".__init__")


def compile_bundle(tree: Path, prefix: str, finder: str) -> None:
    """Writes the bundle of this Python: every module that an environment may load.

    One file takes a fifth less of a zip than a file each: what modules have in common is written once, and there is one
    entry. What lies where is said in `lifecycle/finder.py`.

    Args:
        tree: A directory of sources.
        prefix: Where the tree will lie when it runs, which is what tracebacks name.
        finder: The module that reads bundles, by its path in the tree.

    Raises:
        SyntaxError: A source is not valid for this Python.
        ValueError: There is more of something than a bundle has room for.
    """
    reader: dict[str, Any] = {"__name__": "finder"}
    exec((tree / finder).read_text(encoding="utf-8"), reader)  # noqa: S102 - a source of ours
    head_bytes, size_bits = reader["HEAD_BYTES"], reader["SIZE_BITS"]
    index: dict[str, dict[str, int]] = {}
    found = b""
    pieces = bytearray()
    for source in sorted(tree.rglob("*.py")):
        inside = source.relative_to(tree)
        if inside.as_posix() in FOR_PEOPLE:
            continue
        data = _bundled(source, inside, f"{prefix}/{inside.as_posix()}")
        if inside.as_posix() == finder:
            found = data
            continue
        if len(data) >> size_bits:
            raise ValueError(f"{inside} has {len(data)} bytes of code, expected fewer than {1 << size_bits}")
        place = (head_bytes + len(pieces) << size_bits | len(data)) << 1 | (source.stem == "__init__")
        name = _name_of(inside)
        index.setdefault(name.partition(".")[0], {})[name] = place
        pieces += data
    packages = {package: marshal.dumps(places) for package, places in index.items()}
    head = MAGIC_NUMBER + marshal.dumps((marshal.loads(found), packages))  # noqa: S302 - just made
    if len(head) > head_bytes:
        raise ValueError(f"finder and index of {tree} have {len(head)} bytes, expected {head_bytes} at most")
    Path(reader["path_in"](str(tree))).write_bytes(head.ljust(head_bytes, b"\0") + pieces)


def compile_files(tree: Path, prefix: str) -> None:
    """Writes `__pycache__` beside every module, for the interpreter's own finder.

    The bytecode carries its source's hash and is never checked against it (PEP 552): it stays valid whatever
    times the files are unpacked with, and no source is read to import it.

    Args:
        tree: A directory of sources.
        prefix: Where the tree will lie when it runs, which is what tracebacks name.

    Raises:
        py_compile.PyCompileError: A source is not valid for this Python.
    """
    for source in sorted(tree.rglob("*.py")):
        py_compile.compile(
            str(source),
            # Named, because the default name tells the level and -IS looks for level 0 only.
            cfile=cache_from_source(str(source), optimization=""),
            dfile=f"{prefix}/{source.relative_to(tree).as_posix()}",
            doraise=True,
            optimize=WITHOUT_DOCSTRINGS,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    if len(sys.argv) > 3:  # noqa: PLR2004 - the program, the tree, the prefix
        compile_bundle(Path(sys.argv[1]), *sys.argv[2:])
    else:
        compile_files(Path(sys.argv[1]), sys.argv[2])
