"""The problems that the code and API Gateway can answer with, read from their sources.

A code reaches ``ProblemError`` as a literal, by a module's constant or mapping, or through a
function that takes it as a parameter, in which case the callers are read. Anything else can't be
followed and raises ``UnreadableError``.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local.expand import load

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("layers/act_one", "functions")  # from which modules are imported
BASE = "ProblemError"
DEFAULT_STATUS = 400  # of `_refuse` in inputs/request.py


class UnreadableError(Exception):
    """A problem's code can't be read from the source; the message says where."""


@dataclass(frozen=True, order=True)
class Raised:
    """A problem as a place in the code can raise it; ``title`` is a regular expression."""

    code: str
    status: int
    title: str
    where: str  # path:line of the repository, or the gateway response's name
    function: tuple[str, str] = ("", "")  # the module, and `name` or `Class.name`, of its maker
    retry_after: bool = False  # whether the reply has the header


@dataclass(frozen=True)
class _Forwarder:
    """A function that raises a problem whose code its callers give.

    ``template`` has "{}" where the caller's text goes; -1 stands for a status or title of its own.
    """

    name: str
    code_at: int
    template: str
    status: int
    title: str | None
    title_at: int


@cache
def from_code(root: Path = ROOT) -> tuple[Raised, ...]:
    """List the problems of the shipped code of a checkout. Raises ``UnreadableError``."""
    modules = [
        _Module(path, root, root / folder)
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
    ]
    classes = {BASE}
    while more := {c for m in modules for c in m.children_of(classes)} - classes:
        classes |= more
    forwarders = {module.name: module.forwarders(classes) for module in modules}
    found = [raised for m in modules for raised in m.raised(classes, forwarders)]
    return tuple(sorted(set(found)))


@cache
def from_gateway(template: Path = ROOT / "template.yaml") -> tuple[Raised, ...]:
    """List the problems that API Gateway answers with itself."""
    answers = load(template)["Resources"]["Api"]["Properties"]["GatewayResponses"]
    found = []
    for name, answer in answers.items():
        body = answer["ResponseTemplates"]["application/json"]
        document = json.loads(body.replace("$context.error.messageString", '""'))
        found.append(
            Raised(
                document["code"],
                document["status"],
                re.escape(document["title"]),
                name,
                retry_after="Retry-After" in answer["ResponseParameters"]["Headers"],
            )
        )
    return tuple(sorted(found))


class _Module:
    def __init__(self, path: Path, root: Path, folder: Path) -> None:
        self.path = path.relative_to(root)
        self.name = ".".join(path.relative_to(folder).with_suffix("").parts)
        self.tree = ast.parse(path.read_text())
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            for target in _targets(node)
            if isinstance(target, ast.Name)
        }

    def children_of(self, classes: set[str]) -> set[str]:
        return {
            node.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ClassDef) and classes & {_last(base) for base in node.bases}
        }

    def forwarders(self, classes: set[str]) -> dict[str, _Forwarder]:
        """Map the names of this module's forwarders to them."""
        return {
            function.name: self._forwarder(function, parameter, *_arguments(call))
            for call, function, owner in self._calls()
            if _makes_a_problem(call, owner, classes)
            and function is not None
            and (parameter := self._parameter_in(_arguments(call)[1], function))
        }

    def raised(
        self, classes: set[str], forwarders: Mapping[str, Mapping[str, _Forwarder]]
    ) -> Iterator[Raised]:
        """Yield the problems made in this module, also by the forwarders that it imports."""
        known = dict(forwarders[self.name])
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                theirs = forwarders.get(node.module or "", {})
                named = [alias for alias in node.names if alias.name in theirs]
                known |= {alias.asname or alias.name: theirs[alias.name] for alias in named}
        for call, function, owner in self._calls():
            if _makes_a_problem(call, owner, classes):
                status, code, title = _arguments(call)
                if self._parameter_in(code, function) is None:
                    yield from self._made(call, function, owner, code, _number(status), title)
            elif forwarder := known.get(_last(call.func)):
                code = _argument(call, forwarder.code_at, "code")
                given = _argument(call, forwarder.title_at, "title")
                status = _number(_argument(call, -1, "status")) or forwarder.status
                title = given if forwarder.title is None else None
                for raised in self._made(call, function, owner, code, status, title):
                    yield Raised(
                        forwarder.template.format(raised.code),
                        raised.status,
                        raised.title if forwarder.title is None else forwarder.title,
                        raised.where,
                        raised.function,
                        raised.retry_after,
                    )

    def _made(
        self,
        call: ast.Call,
        function: ast.FunctionDef | None,
        owner: str,
        code: ast.expr | None,
        status: int | None,
        title: ast.expr | None,
    ) -> Iterator[Raised]:
        where = f"{self.path}:{call.lineno}"
        if status is None:
            raise UnreadableError(f"{where}: write the problem's status as a number")
        for text in self._texts(code, where):
            name = ".".join(filter(None, [owner, function.name if function else ""]))
            waits = any(keyword.arg == "retry_after" for keyword in call.keywords)
            yield Raised(text, status, _pattern(title), where, (self.name, name), waits)

    def _texts(self, node: ast.expr | None, where: str) -> list[str]:
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.IfExp(body=one, orelse=other):
                return [*self._texts(one, where), *self._texts(other, where)]
            case ast.Name(id=name) if name in self.constants:
                return self._texts(self.constants[name], where)
            case ast.Subscript(value=ast.Name(id=name)) if name in self.constants:
                mapping = self.constants[name]
                if isinstance(mapping, ast.Dict):
                    return [text for value in mapping.values for text in self._texts(value, where)]
        raise UnreadableError(
            f"{where}: the problem's code can't be read here; write it as a literal, or as a "
            "constant or mapping of this module"
        )

    def _parameter_in(
        self, code: ast.expr | None, function: ast.FunctionDef | None
    ) -> ast.arg | None:
        if code is None or function is None:
            return None
        named = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
        return next((p for p in _parameters(function) if p.arg in named), None)

    def _forwarder(
        self,
        function: ast.FunctionDef,
        parameter: ast.arg,
        status: ast.expr | None,
        code: ast.expr | None,
        title: ast.expr | None,
    ) -> _Forwarder:
        parameters = [p.arg for p in _parameters(function) if p.arg != "self"]
        template = "{}"
        if isinstance(code, ast.JoinedStr):
            pieces = (v.value if isinstance(v, ast.Constant) else "{}" for v in code.values)
            template = "".join(map(str, pieces))
        named = title.id if isinstance(title, ast.Name) else ""
        by_caller = named in parameters
        return _Forwarder(
            name=function.name,
            code_at=parameters.index(parameter.arg),
            template=template,
            status=_number(status) or DEFAULT_STATUS,
            title=None if by_caller else _pattern(title),
            title_at=parameters.index(named) if by_caller else -1,
        )

    def _calls(self) -> Iterator[tuple[ast.Call, ast.FunctionDef | None, str]]:
        """Yield each call with the function and the class that it stands in."""

        def inside(
            node: ast.AST, function: ast.FunctionDef | None, owner: str
        ) -> Iterator[tuple[ast.Call, ast.FunctionDef | None, str]]:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Call):
                    yield child, function, owner
                yield from inside(
                    child,
                    child if isinstance(child, ast.FunctionDef) else function,
                    child.name if isinstance(child, ast.ClassDef) else owner,
                )

        yield from inside(self.tree, None, "")


def _arguments(call: ast.Call) -> tuple[ast.expr | None, ast.expr | None, ast.expr | None]:
    """Return the status, code and title that a problem is made with."""
    return _argument(call, 0, "status"), _argument(call, 1, "code"), _argument(call, 2, "title")


def _makes_a_problem(call: ast.Call, owner: str, classes: set[str]) -> bool:
    inherited = owner in classes and owner != BASE and _is_super_init(call)
    return inherited or _last(call.func) == BASE


def _targets(node: ast.stmt) -> list[ast.expr]:
    match node:
        case ast.Assign(targets=targets):
            return targets
        case ast.AnnAssign(target=target, value=ast.expr()):
            return [target]
    return []


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _argument(call: ast.Call, at: int, name: str) -> ast.expr | None:
    if 0 <= at < len(call.args):
        return call.args[at]
    return next((k.value for k in call.keywords if k.arg == name), None)


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_super_init(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="__init__", value=ast.Call(func=ast.Name(id="super"))):
            return len(call.args) > 1
    return False


def _number(node: ast.expr | None) -> int | None:
    match node:
        case ast.Constant(value=int(number)):
            return number
    return None


def _pattern(title: ast.expr | None) -> str:
    """Return a regular expression of a title: what a name stands for may be any text."""
    match title:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=values):
            return "".join(
                re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".+" for v in values
            )
    return ".+"


def by_code(found: Iterable[Raised]) -> Mapping[str, list[Raised]]:
    """Group problems by their code."""
    grouped: dict[str, list[Raised]] = {}
    for raised in found:
        grouped.setdefault(raised.code, []).append(raised)
    return grouped
