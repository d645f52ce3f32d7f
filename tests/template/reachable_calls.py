"""What a handler's code can reach, read from its source: AWS operations, settings, functions.

A small inference of types, enough for code whose parameters, fields and results are annotated. A
call that it can't see makes a permission look unused, so a gap shows as a failing test; a place
that names an AWS operation on something it can't type is listed by `untyped_operations`.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import botocore.session
from botocore import xform_name

from tests.template.deployment import ROOT

FOLDERS = (ROOT / "functions", ROOT / "layers/act_one")
NAMES_AN_OPERATION = {"get_paginator", "get_waiter", "generate_presigned_url"}
LETS_OTHERS_PUT = "generate_presigned_post"

IAM_PREFIXES = {"stepfunctions": "states"}
IAM_ACTIONS = {  # where an operation is not its own action
    # Of its puts, the same function makes one without a transaction too.
    ("dynamodb", "transact_write_items"): {"UpdateItem"},
    ("dynamodb", "transact_get_items"): {"GetItem"},
    ("s3", "copy_object"): {"GetObject"},  # of its source; what it writes, put_object writes too
    ("s3", "head_object"): {"GetObject"},
    ("s3", "list_objects_v2"): {"ListBucket"},
    ("s3", "list_object_versions"): {"ListBucketVersions"},
    ("s3", "head_bucket"): {"ListBucket"},
    ("sqs", "send_message_batch"): {"SendMessage"},
    ("sqs", "delete_message_batch"): {"DeleteMessage"},
    ("sqs", "change_message_visibility_batch"): {"ChangeMessageVisibility"},
}


@dataclass(frozen=True)
class Module:
    name: str


@dataclass(frozen=True)
class Class:
    module: str
    name: str


@dataclass(frozen=True)
class Function:
    module: str
    name: str  # of a method: Class.method


@dataclass(frozen=True)
class Client:
    service: str


@dataclass(frozen=True)
class Method:
    """What a client has under a name, an operation or not."""

    service: str
    name: str


SETTINGS = Class("act_one.settings", "Settings")

type Thing = Module | Class | Function | Client | Method | None


@dataclass(frozen=True)
class Operation:
    """An AWS operation; `index` is the table's index that it names, `module` where it is called.

    `of_version`: the function also names the version of an object.
    """

    service: str
    method: str
    index: str | None = None
    module: str = ""
    of_version: bool = False

    def actions(self) -> set[str]:
        """Name the permissions that it needs."""
        prefix = IAM_PREFIXES.get(self.service, self.service)
        own = {methods(self.service)[self.method]}
        if self.of_version and (self.service, self.method) == ("s3", "get_object"):
            own |= {"GetObjectVersion"}
        if self.of_version and (self.service, self.method) == ("s3", "delete_object"):
            own = {"DeleteObjectVersion"}
        return {f"{prefix}:{name}" for name in IAM_ACTIONS.get((self.service, self.method), own)}


@dataclass
class Reached:
    functions: set[Function] = field(default_factory=set)
    operations: set[Operation] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)


@cache
def methods(service: str) -> dict[str, str]:
    """Map the names of a client's methods to those of AWS's operations."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


# ── Sources ───────────────────────────────────────────────────────────────────────────────────


class Source:
    """A module of ours: what it defines, imports and assigns at its top."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.body = [n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.ClassDef)]
        self.classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
        self.functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        for owner in self.classes.values():
            inner = [n for n in owner.body if isinstance(n, ast.FunctionDef)]
            self.functions |= {f"{owner.name}.{n.name}": n for n in inner}
        self.assigned = dict(_assignments(self.body))
        self.imported = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                self.imported |= {a.asname or a.name: (node.module, a.name) for a in node.names}
            elif isinstance(node, ast.Import):
                self.imported |= {a.asname or a.name: (a.name, None) for a in node.names}

    def modules(self) -> set[str]:
        """Name the modules of ours that importing this one runs."""
        named = {f"{m}.{name}" if name else m for m, name in self.imported.values()}
        return {m for m in {m for m, _ in self.imported.values()} | named if source(m)}


@cache
def source(module: str) -> Source | None:
    """Read a module of ours; None for any other."""
    for folder in FOLDERS:
        path = folder / f"{module.replace('.', '/')}.py"
        if path.exists():
            return Source(module, ast.parse(path.read_text()))
    return None


def _assignments(statements: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Name what statements assign, annotations before values: they say more."""
    for node in (inner for statement in statements for inner in ast.walk(statement)):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, ast.Call(func=node.annotation, args=[], keywords=[])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.NamedExpr(target=ast.Name(id=name)):
                yield name, node.value
            case ast.withitem(optional_vars=ast.Name(id=name)):
                yield name, node.context_expr


# ── Types ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its module, its class, the types of local names."""

    source: Source
    local: dict[str, Thing]

    def type_of(self, node: ast.expr | None) -> Thing:
        match node:
            case ast.Name(id=name):
                return self.local[name] if name in self.local else _top(self.source.name, name)
            case ast.Attribute(value=value, attr=name):
                return _result(_member(self.type_of(value), name))
            case ast.Call(func=ast.Attribute(value=value, attr="client"), args=[argument]) if (
                self.type_of(value) == Module("boto3") and isinstance(argument, ast.Constant)
            ):
                return Client(argument.value)
            case ast.Call(func=function):
                return self._returned(self.type_of(function))
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):  # an annotation: X | None
                return self.type_of(left) or self.type_of(right)
            case ast.BoolOp(values=[*values]) | ast.IfExp(body=values):
                return next(filter(None, map(self.type_of, _all(values))), None)
            case ast.Constant(value=str() as annotation):
                return self.type_of(_expression(annotation))
        return None

    def _returned(self, called: Thing) -> Thing:
        if isinstance(called, Function):
            returned = _definition(called).returns
            if isinstance(returned, ast.Name) and returned.id == "Self":
                return Class(called.module, called.name.rpartition(".")[0])
            return _annotated(called.module, returned)
        return called if isinstance(called, Class | Client) else None


def _all(values: list[ast.expr] | ast.expr) -> list[ast.expr]:
    return values if isinstance(values, list) else [values]


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


@cache
def _top(module: str, name: str) -> Thing:
    """What a name means at the top of a module."""
    own = source(module)
    if own is None:
        is_client = module.startswith("mypy_boto3_") and name.endswith("Client")
        return Client(module.removeprefix("mypy_boto3_").replace("_", "-")) if is_client else None
    if name in own.classes:
        return Class(module, name)
    if name in own.functions:
        return Function(module, name)
    if name in own.assigned:
        return Scope(own, {}).type_of(own.assigned[name])
    if name not in own.imported:
        return None
    origin, imported = own.imported[name]
    if imported is None or source(f"{origin}.{imported}"):
        return Module(f"{origin}.{imported}" if imported else origin)
    return _top(origin, imported)


@cache
def _member(owner: Thing, name: str) -> Thing:
    match owner:
        case Module(name=module):
            return _top(module, name)
        case Client(service=service):
            return Method(service, name)
        case Class(module=module, name=of):
            own = source(module)
            if f"{of}.{name}" in own.functions:
                return Function(module, f"{of}.{name}")
            fields = {n.target.id: n for n in own.classes[of].body if isinstance(n, ast.AnnAssign)}
            if name in fields:
                return _annotated(module, fields[name].annotation)
            return _set_by_init(owner, name)
    return None


def _set_by_init(owner: Class, name: str) -> Thing:
    init = Function(owner.module, f"{owner.name}.__init__")
    if init.name not in source(owner.module).functions:
        return None
    for node in ast.walk(_definition(init)):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=found)]) if (
                found == name
            ):
                return _scope(init).type_of(node.value)
    return None


def _result(thing: Thing) -> Thing:
    """A property stands for what it returns."""
    if isinstance(thing, Function):
        decorators = [getattr(d, "id", None) for d in _definition(thing).decorator_list]
        if "property" in decorators:
            return _annotated(thing.module, _definition(thing).returns)
    return thing


def _annotated(module: str, annotation: ast.expr | None) -> Thing:
    found = Scope(source(module), {}).type_of(annotation)
    return found if isinstance(found, Class | Client) else None


def _definition(function: Function) -> ast.FunctionDef:
    return source(function.module).functions[function.name]


@cache
def _scope(function: Function) -> Scope:
    own, definition = source(function.module), _definition(function)
    given = definition.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    local = {p.arg: _annotated(function.module, p.annotation) for p in parameters}
    owner = function.name.rpartition(".")[0]
    if owner and parameters:
        local[parameters[0].arg] = Class(function.module, owner)
    scope = Scope(own, local)
    for name, value in _assignments(definition.body):
        local[name] = scope.type_of(value) or local.get(name)
    return scope


# ── Reach ─────────────────────────────────────────────────────────────────────────────────────


@cache
def reached_from(handler: str) -> Reached:
    """Collect what a Lambda's handler ("submit.app.handler") can come to run."""
    main = handler.rpartition(".")[0]
    reached, seen, modules = Reached(), set(), [main]
    while modules:  # what runs when modules are imported
        module = modules.pop()
        if module not in seen:
            seen.add(module)
            modules += source(module).modules()
            _read(source(module).body, Scope(source(module), {}), reached)
    for name in source(main).functions:  # its handler, and its routes
        reached.functions.add(Function(main, name))
    _follow(reached)
    return reached


def functions_from(starts: Iterable[Function]) -> set[Function]:
    """Collect the functions that can run when some do.

    What their modules build when they are imported, such as a check that is passed on, counts; a
    table of routes does not, because it names them all.
    """
    reached = Reached(functions={*starts})
    for module in {function.module for function in reached.functions}:
        body = [node for node in source(module).body if not is_route_table(node)]
        _read(body, Scope(source(module), {}), reached)
    _follow(reached)
    return reached.functions


def is_route_table(node: ast.stmt) -> bool:
    """Tell whether a statement maps routes to the functions that serve them."""
    match node:
        case ast.AnnAssign(target=ast.Name(id="ROUTES"), value=ast.Dict()):
            return True
    return False


def _follow(reached: Reached) -> None:
    done: set[Function] = set()
    while todo := reached.functions - done:
        for function in todo:
            _read([_definition(function)], _scope(function), reached)
        done |= todo


def _read(statements: list[ast.stmt], scope: Scope, reached: Reached) -> None:
    nodes = [node for statement in statements for node in ast.walk(statement)]
    index = _index_named_in(nodes, scope)
    of_version = any(_names_a_version(node) for node in nodes)
    module = scope.source.name
    for node in nodes:
        if found := _operation(node, scope):
            reached.operations.add(Operation(found.service, found.name, index, module, of_version))
        if isinstance(node, ast.Attribute):
            owner = scope.type_of(node.value)
            mentioned = _member(owner, node.attr)
            if owner == SETTINGS and not isinstance(mentioned, Function):
                reached.settings.add(node.attr)
        elif isinstance(node, ast.Name):
            mentioned = scope.type_of(node)
        else:
            continue
        if isinstance(mentioned, Class):
            mentioned = _member(mentioned, "__init__")
        if isinstance(mentioned, Function):
            reached.functions.add(mentioned)


def _operation(node: ast.AST, scope: Scope) -> Method | None:
    """What operation a node names: `client.put_item`, or `client.get_paginator("query")`."""
    match node:
        case ast.Call(func=ast.Attribute() as function, args=[ast.Constant(value=name), *_]):
            called = scope.type_of(function)
            if isinstance(called, Method) and called.name in NAMES_AN_OPERATION:
                return Method(called.service, name)
        case ast.Attribute():
            called = scope.type_of(node)
            if isinstance(called, Method) and called.name == LETS_OTHERS_PUT:
                return Method(called.service, "put_object")
            if isinstance(called, Method) and called.name in methods(called.service):
                return called
    return None


def _names_a_version(node: ast.AST) -> bool:
    match node:
        case ast.keyword(arg="VersionId") | ast.Subscript(slice=ast.Constant(value="VersionId")):
            return True
    return False


def _index_named_in(nodes: list[ast.AST], scope: Scope) -> str | None:
    for node in nodes:
        match node:
            case ast.keyword(arg="IndexName", value=ast.Constant(value=name)):
                return name
            case ast.keyword(arg="IndexName", value=ast.Name(id=name)):
                return _constant(scope.source, name)
            case ast.Dict(keys=[*keys], values=[*values]):
                for key, value in zip(keys, values, strict=True):
                    match key, value:
                        case ast.Constant(value="IndexName"), ast.Name(id=name):
                            return _constant(scope.source, name)
    return None


def _constant(own: Source, name: str) -> str | None:
    for node in own.body:
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=found), value=ast.Constant(value=value))
                | ast.Assign(targets=[ast.Name(id=found)], value=ast.Constant(value=value))
            ) if found == name:
                return value
    return None


def untyped_operations() -> Iterator[str]:
    """List where a call is named like an operation of ours but its client is unknown."""
    sources = [
        source(".".join(path.relative_to(folder).with_suffix("").parts))
        for folder in FOLDERS
        for path in sorted(folder.rglob("*.py"))
    ]
    scopes = [
        (Function(own.name, name), definition, _scope(Function(own.name, name)))
        for own in sources
        for name, definition in own.functions.items()
    ]
    services = {
        thing.service
        for _, definition, scope in scopes
        for node in ast.walk(definition)
        if isinstance(node, ast.expr) and isinstance(thing := scope.type_of(node), Client)
    }
    known = {method for service in services for method in methods(service)}
    known |= NAMES_AN_OPERATION | {LETS_OTHERS_PUT}
    for function, definition, scope in scopes:
        for node in ast.walk(definition):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr=name) as called):
                    typed = isinstance(scope.type_of(owner), Client | Class | Module)
                    if name in known and not typed:
                        yield f"{function.module}, line {node.lineno}: {ast.unparse(called)}"
