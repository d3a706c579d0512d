"""Requests of OTLP that somebody else wrote, on their way to a receiver of OTLP: completed, cut, never read.

What is passed are the resources of such a request as a member of the request that takes them along: in protobuf they
are appended, in JSON an array's elements. What the extension knows of a resource and its writer does not is added;
nothing in it is replaced. Cut is between items, whose containers are then written once for each side.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate

import msgspec

from lifecycle.contract.otlp_wire import (
    ITEM_TAG,
    KIND_NAMES,
    KIND_TAGS,
    NAMES,
    POINT_TAG,
    POINTS_NAME,
    RESOURCE_TAG,
    SCOPE_TAG,
    WireError,
    fields,
)
from shipper.delivery.interfaces import Several
from shipper.destinations.otlp.json_values import any_value, key_value
from shipper.destinations.otlp.protobuf_values import attribute, field, varint
from shipper.destinations.otlp.values import Passed
from shipper.model import semconv
from shipper.model.signals import METRICS

# What says who made the telemetry: that was not us.
_NOT_ITS = frozenset((semconv.TELEMETRY_DISTRO_NAME, semconv.TELEMETRY_DISTRO_VERSION))

# An SDK sends the same resource with every request. Beyond so many, and beyond this size, nobody does.
_MOST_RESOURCES = 16
_MOST_RESOURCE_BYTES = 8192

# By depth, the fields that hold what is cut; a metric's one kind stands by itself in JSON.
_TAGS: tuple[Collection[int], ...] = ((RESOURCE_TAG,), (SCOPE_TAG,), (ITEM_TAG,))
_POINT_TAGS: tuple[Collection[int], ...] = (*_TAGS, KIND_TAGS, (POINT_TAG,))

# Of a part of a request: nothing is copied before it is written.
Content = bytes | memoryview | msgspec.Raw

_ATTRIBUTES_TAG = _KEY_TAG = _RESOURCE_FIELD = 0x0A
_NULL = b"null"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_to_json = msgspec.json.Encoder().encode


class _Named(msgspec.Struct, gc=False):
    key: str = ""


class _Attributes(msgspec.Struct, gc=False):
    attributes: list[_Named] | None = None


_attributes = msgspec.json.Decoder(_Attributes)


class Passing:
    """Makes of requests what is passed.

    Args:
        takes_json: Whether a signal is to be in JSON now, else in protobuf.
        resource: Attributes of the resource, as the extension knows it.
    """

    def __init__(self, takes_json: Callable[[str], bool], resource: Mapping[str, str | int]) -> None:
        self._takes_json = takes_json
        known = {name: value for name, value in resource.items() if name not in _NOT_ITS}
        self._pairs = {name: attribute(b"\x0a", name, value) for name, value in known.items()}
        self._json_pairs = {name: key_value(name, any_value(_to_json(value))) for name, value in known.items()}
        self._resources: dict[bytes, bytes] = {}

    def is_taken(self, request: Several) -> bool:
        """Whether a request is in the encoding that is taken now."""
        known = _known(request)
        return known.is_json is self._takes_json(known.signal)

    def passed(self, request: Several) -> Passed:
        """A request as it is passed: with all that is known of its resources, in the encoding that is taken now.

        Raises:
            ValueError: It is no request.
        """
        known = _known(request)
        signal, is_json = known.signal, known.is_json
        try:
            content = self._completed_json(known) if is_json else self._completed(known)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise WireError(f"got no request in JSON: {exc}") from exc
        return transcoded(passed_of(signal, content, known.items, is_json=is_json), is_json=self._takes_json(signal))

    def _completed(self, body: bytes) -> bytes:
        """A request whose resources have all that is known of them."""
        pieces: list[bytes] = []
        for tag, begin, start, end in fields(body):
            if tag != RESOURCE_TAG:
                pieces.append(body[begin:end])
                continue
            found = next((one for one in fields(body, start, end) if one[0] == _RESOURCE_FIELD), None)
            if found is None:
                resource, before, behind = b"", start, start
            else:
                _, before, at, behind = found
                resource = body[at:behind]
            whole = self._resource(resource)
            size = len(whole) + (end - start) - (behind - before)
            pieces += (b"\x0a", varint(size), body[start:before], whole, body[behind:end])
        return b"".join(pieces)

    def _resource(self, resource: bytes) -> bytes:
        """A resource with what it lacks, as a field."""
        found = self._resources.get(resource)
        if found is None:
            try:
                lacking = self._lacking(_names_in(resource))
            except WireError:  # the receiver is the one to say so
                lacking = []
            found = field(b"\x0a", resource + b"".join([self._pairs[name] for name in lacking]))
            self._remember(resource, found)
        return found

    def _completed_json(self, content: bytes) -> bytes:
        """The same of resources in JSON."""
        pieces = []
        for element in _elements.decode(b"[%b]" % content):
            members = _members.decode(element)
            members["resource"] = msgspec.Raw(self._json_resource(bytes(members.get("resource", _NULL))))
            pieces.append(_to_json(members))
        return b",".join(pieces)

    def _json_resource(self, resource: bytes) -> bytes:
        found = self._resources.get(resource)
        if found is None:
            members = {} if resource == _NULL else _members.decode(resource)
            names = {one.key for one in _attributes.decode(resource).attributes or ()} if members else set()
            pairs = bytes(members.get("attributes", b"")).strip()[1:-1].strip() if names else b""
            whole = b",".join([*([pairs] if pairs else []), *[self._json_pairs[name] for name in self._lacking(names)]])
            members["attributes"] = msgspec.Raw(b"[%b]" % whole)
            found = _to_json(members)
            self._remember(resource, found)
        return found

    def _lacking(self, names: set[str]) -> list[str]:
        return [name for name in self._pairs if name not in names]

    def _remember(self, resource: bytes, completed: bytes) -> None:
        if len(self._resources) >= _MOST_RESOURCES:
            self._resources.clear()
        if len(completed) <= _MOST_RESOURCE_BYTES:
            self._resources[resource] = completed


def taken(signal: str, body: bytes, items: int, *, is_json: bool) -> Passed:
    """A request as it came.

    Args:
        signal: What its items are.
        body: The request, inflated.
        items: How many it has.
        is_json: Whether it is in JSON, else in protobuf.

    Raises:
        WireError: It is no request.
    """
    if not is_json:
        return passed_of(signal, body, items, is_json=False)
    try:
        resources = _members.decode(body).get(NAMES[signal][0])
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise WireError(f"got no request in JSON: {exc}") from exc
    array = b"" if resources is None else bytes(resources).strip()
    return passed_of(signal, array[1:-1] if array[:1] == b"[" else b"", items, is_json=True)


def request_of(request: Several) -> bytes:
    """The request that it is."""
    passed = _known(request)
    return b'{"%b":[%b]}' % (NAMES[passed.signal][0].encode(), passed) if passed.is_json else bytes(passed)


def passed_of(signal: str, content: bytes, items: int, *, is_json: bool) -> Passed:
    """What is passed of a request, given its content as that has it."""
    found = Passed(content)
    found.signal, found.items, found.is_json, found.divide = signal, items, is_json, divided
    return found


def transcoded(passed: Passed, *, is_json: bool) -> Passed:
    """The same in JSON, or in protobuf.

    Raises:
        TranscodeError: It is no such request.
    """
    if passed.is_json is is_json:
        return passed
    from shipper.destinations.otlp.transcode import to_json, to_protobuf

    signal = passed.signal
    if is_json:
        head = b'{"%b":[' % NAMES[signal][0].encode()
        content = to_json(signal, passed)[len(head) : -len(b"]}")]
    else:
        content = to_protobuf(signal, request_of(passed))
    return passed_of(signal, content, passed.items, is_json=is_json)


def chunks(request: Several, most_bytes: int) -> Iterator[Passed]:
    """What is passed in parts of about so many bytes, in one go; a metric stays whole.

    Raises:
        WireError: It cannot be read.
    """
    passed = _known(request)
    tree, root = _tree_of(passed)
    try:
        for content, items in _chunks(tree, root, most_bytes):
            yield passed_of(passed.signal, tree.written(content), items, is_json=passed.is_json)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise WireError(f"got no request in JSON: {exc}") from exc


def divided(passed: Passed) -> tuple[Passed, ...]:
    """Two parts of what is passed: between resources if there are several, else between scopes, else items.

    Returns:
        Them in order; none where it is one item, or cannot be read.
    """
    if passed.items < 2:  # noqa: PLR2004 - one cannot be divided
        return ()
    tree, root = _tree_of(passed)
    try:
        middle = _middle(tree, root)
        return cut(passed, 0, middle), cut(passed, middle, passed.items)
    except (WireError, msgspec.MsgspecError, RecursionError):
        return ()


def cut(request: Several, first: int, last: int) -> Passed:
    """What is passed, of its items, in the order of the document, only those from `first` up to `last`.

    Raises:
        WireError: It cannot be read.
    """
    passed = _known(request)
    tree, root = _tree_of(passed)
    try:
        content = tree.written(_cut(tree, root, first, last))
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise WireError(f"got no request in JSON: {exc}") from exc
    return passed_of(passed.signal, content, last - first, is_json=passed.is_json)


def _known(request: Several) -> Passed:
    if not isinstance(request, Passed):
        raise TypeError(f"got a {type(request).__name__}, expected what was made here")
    return request


class _Node(msgspec.Struct, gc=False):
    """A message that holds items, or is one.

    Attributes:
        content: It, as its encoding has it, where it lies in the request.
        depth: How many messages it lies in.
        name: Of the field that it is in.
    """

    content: Content
    depth: int
    name: int | str = 0


class _Protobuf:
    """Requests in protobuf as a tree."""

    def __init__(self, signal: str) -> None:
        self._tags = _POINT_TAGS if signal == METRICS else _TAGS
        self.depth = len(self._tags)

    def children(self, node: _Node) -> Iterator[_Node]:
        """What of a node holds items, one after another; nothing where it is one."""
        if node.depth < self.depth:
            tags, content = self._tags[node.depth], node.content
            for tag, _, start, end in fields(content):
                if tag in tags:
                    yield _Node(content[start:end], node.depth + 1, tag)

    def shell(self, node: _Node) -> bytes:
        """A node without its children."""
        tags, content = self._tags[node.depth], node.content
        return b"".join([content[begin:end] for tag, begin, _, end in fields(content) if tag not in tags])

    def filled(self, node: _Node, shell: bytes, children: Sequence[_Node]) -> _Node:
        """A node with other children, given its shell."""
        pieces: list[bytes | memoryview] = [shell]
        for child in children:
            pieces += (varint(int(child.name)), varint(len(child.content)), child.content)
        return _Node(b"".join(pieces), node.depth, node.name)

    def written(self, root: _Node) -> bytes:
        """The content of what is passed."""
        return bytes(root.content)


class _Json:
    """Requests in JSON as a tree."""

    def __init__(self, signal: str) -> None:
        names = NAMES[signal]
        self._names = (*((name,) for name in names), *((KIND_NAMES, (POINTS_NAME,)) if signal == METRICS else ()))
        self.depth = len(self._names)
        self._ends = len(b'{"%b":[' % names[0].encode()), len(b"]}")

    def children(self, node: _Node) -> Iterator[_Node]:
        """As in protobuf."""
        if node.depth == self.depth:
            return
        members, names, depth = _members.decode(node.content), self._names[node.depth], node.depth + 1
        if names is KIND_NAMES:
            found = [(name, members[name]) for name in names if name in members]
            yield from [_Node(content, depth, name) for name, content in found if bytes(content) != _NULL]
            return
        for element in _elements_of(members.get(names[0])):
            yield _Node(element, depth, names[0])

    def shell(self, node: _Node) -> bytes:
        """As in protobuf."""
        members = _members.decode(node.content)
        for name in self._names[node.depth]:
            members.pop(name, None)
        return _to_json(members)[:-1]

    def filled(self, node: _Node, shell: bytes, children: Sequence[_Node]) -> _Node:
        """As in protobuf."""
        names = self._names[node.depth]
        if names is KIND_NAMES:
            named = [b"".join((b'"', str(child.name).encode(), b'":', child.content)) for child in children]
            held = b",".join(named)
        else:
            held = b'"%b":[%b]' % (names[0].encode(), b",".join([child.content for child in children]))
        comma = b"," if len(shell) > 1 and held else b""
        return _Node(b"%b%b%b}" % (shell, comma, held), node.depth, node.name)

    def written(self, root: _Node) -> bytes:
        """As in protobuf."""
        start, end = self._ends
        return bytes(root.content)[start:-end]


_Tree = _Protobuf | _Json


def _tree_of(passed: Passed) -> tuple[_Tree, _Node]:
    signal = passed.signal
    if passed.is_json:
        return _Json(signal), _Node(request_of(passed), 0)
    return _Protobuf(signal), _Node(memoryview(passed), 0)


def _chunks(tree: _Tree, root: _Node, most_bytes: int) -> Iterator[tuple[_Node, int]]:
    """A tree in parts, each with how many items it has: what items lie in is written once for each."""
    shell, size, count = tree.shell(root), 0, 0
    resources, scopes, items = list[_Node](), list[_Node](), list[_Node]()
    for resource in tree.children(root):
        of_resource = tree.shell(resource)
        for scope in tree.children(resource):
            of_scope = tree.shell(scope)
            for item in tree.children(scope):
                if count and size + len(item.content) > most_bytes:
                    scopes.append(tree.filled(scope, of_scope, items))
                    resources.append(tree.filled(resource, of_resource, scopes))
                    yield tree.filled(root, shell, resources), count
                    resources, scopes, items, size, count = [], [], [], 0, 0
                items.append(item)
                size += len(item.content)
                count += _size(tree, item)
            if items:
                scopes.append(tree.filled(scope, of_scope, items))
                items = []
        if scopes:
            resources.append(tree.filled(resource, of_resource, scopes))
            scopes = []
    if count:
        yield tree.filled(root, shell, resources), count


def _size(tree: _Tree, node: _Node) -> int:
    """How many items are in a node."""
    if node.depth == tree.depth:
        return 1
    return sum(_size(tree, child) for child in tree.children(node))


def _middle(tree: _Tree, node: _Node) -> int:
    """Behind how many of its items a node is best divided."""
    children = list(tree.children(node))
    sizes = [_size(tree, child) for child in children]
    holders = [child for child, size in zip(children, sizes, strict=True) if size]
    if len(holders) == 1:
        return _middle(tree, holders[0])
    places = list(accumulate(size for size in sizes if size))
    return min(places[:-1], key=lambda place: abs(2 * place - places[-1]))


def _cut(tree: _Tree, node: _Node, first: int, last: int) -> _Node:
    """A node with only some of its items."""
    kept: list[_Node] = []
    place = 0
    for child in tree.children(node):
        size = _size(tree, child)
        low, high = max(first - place, 0), min(last - place, size)
        place += size
        if low < high:
            kept.append(child if high - low == size else _cut(tree, child, low, high))
    return tree.filled(node, tree.shell(node), kept)


def _names_in(resource: bytes) -> set[str]:
    """Names of the attributes of a resource."""
    pairs = [resource[start:end] for tag, _, start, end in fields(resource) if tag == _ATTRIBUTES_TAG]
    keys = [pair[start:end] for pair in pairs for tag, _, start, end in fields(pair) if tag == _KEY_TAG]
    return {key.decode("utf-8", "replace") for key in keys}


def _elements_of(array: msgspec.Raw | None) -> list[msgspec.Raw]:
    """Elements of an array in JSON; none of what is not there."""
    return [] if array is None or bytes(array) == _NULL else _elements.decode(array)
