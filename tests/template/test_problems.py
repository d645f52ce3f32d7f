"""Each route of the API's description lists the problems that its code can raise, and no others."""

import ast
import re

import pytest

from local.expand import load
from tests.template.deployment import SOURCE
from tests.template.reachable_calls import Function, functions_from, source
from tools.openapi.document import codes_of
from tools.openapi.raised import from_code
from tools.openapi.routes import ROUTES


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
    own = source(module)
    routed, unrouted = {}, []
    for name, definition in own.functions.items():
        for decorator in definition.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(attr=verb), args=[ast.Constant(value=text)]):
                    routed[verb.upper(), re.sub(r"<(\w+)>", r"{\1}", text)] = name
                case ast.Attribute(attr="not_found"):
                    unrouted.append(name)
    if "ROUTES" in own.assigned:
        table = next(node.value for node in own.body if _is_table(node))
        serving = {key.value: value.id for key, value in zip(table.keys, table.values, strict=True)}
        return [Function(module, serving[path])]
    # A path without parameters always finds its route.
    serving = [routed[method, path], *(unrouted if "{" in path else ())]
    return [Function(module, name) for name in serving]


def _is_table(node):
    match node:
        case ast.AnnAssign(target=ast.Name(id="ROUTES"), value=ast.Dict()):
            return True
    return False


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_lists_the_problems_that_its_code_can_raise(method, path):
    module = handler_modules()[method, path]
    reached = {(f.module, f.name) for f in functions_from(starts_of(module, method, path))}
    raised = {problem.code for problem in from_code() if problem.function in reached}

    route = ROUTES[method, path]
    assert sorted(raised - {*codes_of(route)}) == [], "missing in tools/openapi/routes.py"
    assert sorted({*route.problems} - raised) == [], "can't be raised"
