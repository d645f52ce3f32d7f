"""Each route of the API's description lists what its code reads and raises, and nothing else."""

import ast

import pytest

from local.expand import load
from tests.template.deployment import SOURCE
from tests.template.reachable_calls import Function, functions_from, is_route_table, source
from tools.openapi.document import codes_of
from tools.openapi.raised import from_code
from tools.openapi.routes import PARAMETERS, ROUTES


def handler_modules():
    """Map each route of the template to its function's module."""
    return {
        (event["Properties"]["Method"], event["Properties"]["Path"]): handler.rpartition(".")[0]
        for resource in load(SOURCE)["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
        for handler in [resource["Properties"]["Handler"]]
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    }


def starts_of(module, method, path):
    """The functions that serve a route."""
    table = next(node.value for node in source(module).body if is_route_table(node))
    serving = {key.value: value.id for key, value in zip(table.keys, table.values, strict=True)}
    return [Function(module, serving[f"{method} {path}"])]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_lists_the_problems_that_its_code_can_raise(method, path):
    module = handler_modules()[method, path]
    reached = {(f.module, f.name) for f in functions_from(starts_of(module, method, path))}
    raised = {problem.code for problem in from_code() if problem.function in reached}

    route = ROUTES[method, path]
    assert sorted(raised - {*codes_of(route)}) == [], "missing in tools/openapi/routes.py"
    assert sorted({*route.problems} - raised) == [], "can't be raised"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_has_the_parameters_that_its_code_reads(method, path):
    module = handler_modules()[method, path]
    reached = functions_from(starts_of(module, method, path))
    read = {
        (place, name)
        for function in reached
        for place, names in _parameters_read_in(function)
        for name in names
    }

    described = {
        (PARAMETERS[name]["in"], name.lower() if PARAMETERS[name]["in"] == "header" else name)
        for name in ROUTES[method, path].parameters
    }
    assert sorted(read - KEYS - described) == [], "missing in tools/openapi/routes.py"
    assert sorted(described - read) == [], "can't be read"


KEYS = {("header", "x-api-key")}


def _parameters_read_in(function):
    """Yield where a function reads parameters from, and their names."""
    module = source(function.module)
    for node in ast.walk(module.functions[function.name]):
        match node:
            case ast.Call(func=ast.Name(id="header"), args=[_, name]):
                yield "header", _texts(name, module)
            case ast.Call(func=ast.Name(id="check_names"), args=[_, *names]):
                yield "query", {text for name in names for text in _texts(name, module)}
            case ast.Call(func=ast.Name(id="_check_names"), args=[_, names, _]):
                yield "query", _texts(names, module)


def _texts(node, module):
    """Collect the texts of an expression, and of the constants that it names."""
    texts = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Constant(value=str(text)):
                texts.add(text)
            case ast.Name(id=name) if name in module.imported:
                origin, imported = module.imported[name]
                texts |= _texts(_constant(source(origin), imported), source(origin))
            case ast.Name(id=name) if _constant(module, name):
                texts |= _texts(_constant(module, name), module)
    return texts


def _constant(module, name):
    """Return the value of a constant of a module."""
    for node in module.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=found), value=value) if found == name:
                return value
    return None
