"""Compiles the package, with the methods of its dataclasses written out.

Usage: ``compile.py LAYER``, the folder that becomes ``/opt``. ``dataclass`` writes the methods of
a class as text and compiles it, in every cold start: with fifty classes, an eighth of boto3 and a
client. Here they are compiled once, into the bytecode only: the source stays as it is, and
``dataclass`` still makes the slots and the fields. ``tests/package`` compares both.
"""

import ast
import importlib.util
import marshal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNCHECKED: Final = (0b01).to_bytes(4, "little")
"""The flags of bytecode that is used without a look at its source."""


class UnknownDataclassError(ValueError):
    """A dataclass uses what is not written out here; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field; ``default`` and ``factory`` are expressions, None without one."""

    name: str
    default: str | None = None
    factory: str | None = None
    repr: bool = True
    compare: bool = True


def main(layer: Path) -> None:
    """Compile each module for its place below ``/opt``."""
    for path in sorted(layer.rglob("*.py")):
        source = path.read_bytes()
        tree = written_out(ast.parse(source))
        code = compile(tree, f"/opt/{path.relative_to(layer)}", "exec", dont_inherit=True)
        head = importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source)
        target = Path(importlib.util.cache_from_source(str(path)))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(head + marshal.dumps(code))


def written_out(tree: ast.Module) -> ast.Module:
    """Return a module whose dataclasses have their methods. Raises ``UnknownDataclassError``."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Name(id="dataclass")):
                        write_out(node, decorator)
                    case ast.Name(id="dataclass"):
                        raise UnknownDataclassError(f"{node.name}: @dataclass without slots")
    return tree


def write_out(node: ast.ClassDef, decorator: ast.Call) -> None:
    """Add the methods to a class, and tell ``dataclass`` not to make them."""
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords}
    frozen, kw_only = options.pop("frozen", False), options.pop("kw_only", False)
    if options != {"slots": True} or node.bases or node.keywords:
        raise UnknownDataclassError(f"{node.name} has bases, or other options than these")
    text = "\n".join(methods([*fields_of(node)], frozen=frozen, kw_only=kw_only))
    if ast.get_docstring(node) is None:  # dataclass would write one, of the signature
        text += f"\n__doc__ = {node.name!r}"
    added = ast.parse(text).body
    own = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    if own & {one.name for one in added if isinstance(one, ast.FunctionDef)}:
        raise UnknownDataclassError(f"{node.name} has methods of its own that are written here")
    for one in (inner for method in added for inner in ast.walk(method)):
        ast.copy_location(one, node)
    node.body += added
    made = {"slots": True, "kw_only": kw_only, "init": False, "repr": False, "eq": False}
    decorator.keywords = [
        ast.copy_location(ast.keyword(name, ast.copy_location(ast.Constant(value), node)), node)
        for name, value in made.items()
    ]


def fields_of(node: ast.ClassDef) -> Iterator[Field]:
    """Yield the fields of a class."""
    for statement in node.body:
        match statement:
            case ast.AnnAssign(annotation=annotation) if any(
                word in ast.unparse(annotation) for word in ("ClassVar", "InitVar", "KW_ONLY")
            ):
                raise UnknownDataclassError(f"{node.name}: {ast.unparse(annotation)}")
            case ast.AnnAssign(target=ast.Name(id=name), value=None):
                yield Field(name=name)
            case ast.AnnAssign(
                target=ast.Name(id=name), value=ast.Call(func=ast.Name(id="field")) as call
            ):
                given = {keyword.arg: keyword.value for keyword in call.keywords}
                factory = given.pop("default_factory", None)
                if factory is None or given.keys() - {"repr", "compare"}:
                    raise UnknownDataclassError(f"{node.name}: {ast.unparse(call)}")
                kept = {str(key): ast.literal_eval(value) for key, value in given.items()}
                yield Field(name=name, factory=ast.unparse(factory), **kept)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield Field(name=name, default=name)  # the class has it under its name
            case ast.FunctionDef(name="__post_init__"):
                raise UnknownDataclassError(f"{node.name} has __post_init__")


def methods(fields: list[Field], *, frozen: bool, kw_only: bool) -> Iterator[str]:
    """Yield the methods' text. A default of ``...`` stands for a factory's next value."""
    names = [field.name for field in fields]
    keep = "_set(self, {name!r}, {value})" if frozen else "self.{name} = {value}"
    yield f"def __init__(self, {'*, ' if kw_only and fields else ''}{_parameters(fields)}):"
    yield "    _set = object.__setattr__" if frozen else "    pass"
    for field in fields:
        value = field.name
        if field.factory is not None:
            value = f"{field.factory}() if {field.name} is ... else {field.name}"
        yield "    " + keep.format(name=field.name, value=value)
    shown = ", ".join(f"{field.name}={{self.{field.name}!r}}" for field in fields if field.repr)
    yield "def __repr__(self):"
    yield f"    return f'{{self.__class__.__qualname__}}({shown})'"
    compared = [field.name for field in fields if field.compare]
    yield "def __eq__(self, other):"
    yield "    if other.__class__ is not self.__class__: return NotImplemented"
    same = " and ".join(f"self.{name} == other.{name}" for name in compared)
    yield f"    return {same or 'True'}"
    if not frozen:
        yield "__hash__ = None"
        return
    yield "def __hash__(self):"
    yield f"    return hash(({''.join(f'self.{name}, ' for name in compared)}))"
    yield "def __setattr__(self, name, value):"
    yield "    from dataclasses import FrozenInstanceError"
    yield "    raise FrozenInstanceError(f'cannot assign to field {name!r}')"
    yield "def __delattr__(self, name):"
    yield "    from dataclasses import FrozenInstanceError"
    yield "    raise FrozenInstanceError(f'cannot delete field {name!r}')"
    yield "def __getstate__(self):"
    yield f"    return [{', '.join(f'self.{name}' for name in names)}]"
    yield "def __setstate__(self, state):"
    yield f"    for name, value in zip({names!r}, state): object.__setattr__(self, name, value)"


def _parameters(fields: list[Field]) -> str:
    return ", ".join(
        f"{field.name}=..."
        if field.factory is not None
        else field.name
        if field.default is None
        else f"{field.name}={field.default}"
        for field in fields
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
