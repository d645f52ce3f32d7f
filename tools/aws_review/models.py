"""AWS's published models of its calls, as botocore ships them, taken at their word.

botocore itself checks names and types of members, not lengths, patterns or the members of
enumerations: this does.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape


def faults(operation: OperationModel, asked: Mapping[str, Any]) -> list[str]:
    """List what a call's parameters break in the call's model."""
    shape = operation.input_shape
    return [] if shape is None else [f"{operation.name}: {f}" for f in _in(shape, asked, "")]


def _in(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape, value:
        case StructureShape(), dict():
            for name in shape.required_members:
                if name not in value:
                    yield f"{path}.{name} is missing"
            for name, member in value.items():
                if name in shape.members:
                    yield from _in(shape.members[name], member, f"{path}.{name}")
        case ListShape(), list():
            yield from _length(shape, len(value), path)
            for index, member in enumerate(value):
                yield from _in(shape.member, member, f"{path}[{index}]")
        case MapShape(), dict():
            for name, member in value.items():
                yield from _in(shape.key, name, f"{path} (key)")
                yield from _in(shape.value, member, f"{path}.{name}")
        case _, str():
            yield from _length(shape, len(value), path)
            if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
                yield f"{path} is {value}, which is none of its values"
            yield from _pattern(shape, value, path)
        case _, int() | float() if not isinstance(value, bool):
            yield from _length(shape, value, path)


def _length(shape: Shape, size: float, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{path} has {size}, less than {least}"
    if most is not None and size > most:
        yield f"{path} has {size}, more than {most}"


def _pattern(shape: Shape, value: str, path: str) -> Iterator[str]:
    pattern = shape.metadata.get("pattern")
    if not pattern or "\\p{" in pattern:  # Java's classes of characters: not for Python
        return
    if not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{path} doesn't match {pattern}"
