"""Who can call what from outside: the REST API with a key, the callback by token, nothing else."""

import ast
import json
import re
from collections.abc import Iterator

import pytest

from act_one.http_events import READABLE_HEADERS, SECURITY_HEADERS
from act_one.problems import type_of
from tests.template.checks import ANSWERS, SUBMIT, Break, add, check, drop, get_arn, put, without
from tests.template.deployment import SOURCE, Faults, Template, as_list, expanded, named
from tests.template.reachable_calls import source

RESPONSES = ANSWERS[-1]
HEADERS = "responseParameters"
SENT_HEADERS = "'content-type,idempotency-key,if-none-match,prefer,x-api-key,x-request-id'"
API_GATEWAY = "apigateway.amazonaws.com"
CALLBACK = "callback.app.handler"
DOCS = "docs.app.handler"
HTTP_METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}
REFUSALS = {
    "INVALID_API_KEY",
    "MISSING_AUTHENTICATION_TOKEN",
    "THROTTLED",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "INTEGRATION_TIMEOUT",
    "INTEGRATION_FAILURE",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
}


DESCRIBED = {
    "x-amazon-apigateway-integration": {
        "uri": {"Fn::Sub": "x/functions/${DocsFunction.Arn}/invocations"}
    }
}


def in_response(header: str) -> str:
    return f"gatewayresponse.header.{header}"


def methods_of(template: Template) -> Iterator[tuple[str, str, str, dict]]:
    """List the methods of all APIs but preflights: API, path, method, and what is said of it."""
    for api, properties in template.of("ApiGateway::RestApi").items():
        for path, methods in properties["Body"]["paths"].items():
            for method, operation in methods.items():
                if method in HTTP_METHODS and method != "options":
                    yield api, path, method, operation


def function_behind(operation: dict) -> str | None:
    uri = operation["x-amazon-apigateway-integration"]["uri"]
    found = re.search(r"functions/\$\{(\w+)\.Arn\}/invocations$", uri)
    return found[1] if found else None


def is_for_callbacks(template: Template, api: str | None) -> bool:
    """Tell the API without keys, which leads to the callback only, from that of the clients."""
    behind = {function_behind(operation) for a, *_, operation in methods_of(template) if a == api}
    functions = template.of("Lambda::Function")
    return {functions.get(name or "", {}).get("Handler") for name in behind} == {CALLBACK}


def is_for_callbacks_only(template: Template, function: str) -> bool:
    apis = {
        api for api, *_, operation in methods_of(template) if function_behind(operation) == function
    }
    return all(is_for_callbacks(template, api) for api in apis)


def functions_behind_apis(template: Template) -> set[str]:
    return {function_behind(operation) or "" for *_, operation in methods_of(template)}


# ── The REST API ──────────────────────────────────────────────────────────────────────────────


def takes_no_key(operation: dict) -> bool:
    return not [name for option in operation.get("security", []) for name in option]


@check(
    Break("a method without a key", put(*SUBMIT, "security", to=[])),
    Break(
        "a change without a key",
        put("Api", "Body", "paths", "/docs", "post", to=DESCRIBED),
    ),
    Break(
        "a key in the query",
        put("Api", "Body", "components", "securitySchemes", "api_key", "in", to="query"),
    ),
)
def test_every_method_but_reading_the_description_requires_an_api_key(
    template: Template,
) -> Faults:
    functions = template.of("Lambda::Function")
    for api, path, method, operation in methods_of(template):
        if is_for_callbacks(template, api):
            continue
        behind = functions.get(function_behind(operation) or "", {}).get("Handler")
        if takes_no_key(operation) and (method, behind) == ("get", DOCS):
            continue
        schemes = template.of("ApiGateway::RestApi")[api]["Body"]["components"]["securitySchemes"]
        required = [name for option in operation.get("security", []) for name in option]
        in_header = {"type": "apiKey", "name": "x-api-key", "in": "header"}
        if not required or any(schemes.get(name) != in_header for name in required):
            yield f"{method} {path} can be called without a key"


@check(
    Break("no permission", without("SubmitFunctionPostTaskPermissionv1")),
    Break(
        "a permission for all paths",
        put(
            "SubmitFunctionPostTaskPermissionv1",
            "SourceArn",
            "Fn::Sub",
            0,
            to="arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${__ApiId__}/*",
        ),
    ),
    Break(
        "a permission for nothing",
        put("SubmitFunctionPostTaskPermissionv1", "Action", to="lambda:GetFunction"),
    ),
    Break(
        "a permission for another function",
        put("TasksFunctionGetTaskPermissionv1", "FunctionName", to={"Ref": "SubmitFunction"}),
    ),
)
def test_every_method_may_invoke_its_function_and_only_by_that_path(template: Template) -> Faults:
    allowed = {
        (
            named(permission["FunctionName"]),
            permission.get("SourceArn", "").replace("${AWS::Partition}", "aws"),
        )
        for permission in template.of("Lambda::Permission").values()
        if permission["Principal"] == API_GATEWAY
        and permission["Action"] == "lambda:InvokeFunction"
    }
    needed = set()
    for api, path, method, operation in methods_of(template):
        called = re.sub(r"\{[\w+]+\}", "*", path)
        arn = f"${{AWS::Region}}:${{AWS::AccountId}}:${{{api}}}/*/{method.upper()}{called}"
        needed.add((function_behind(operation), f"arn:aws:execute-api:{arn}"))
    for function, arn in sorted(needed - allowed, key=str):
        yield f"{arn} may not invoke {function}"
    for function, arn in sorted(allowed - needed, key=str):
        yield f"{arn} may invoke {function}, but is no method"


@check(
    Break(
        "a method without a route",
        put(
            "Api",
            "Body",
            "paths",
            "/tasks/{task_id}",
            "delete",
            to={
                "x-amazon-apigateway-integration": {
                    "uri": {"Fn::Sub": "x/functions/${TasksFunction.Arn}/invocations"}
                }
            },
        ),
    ),
    Break("a route without a method", drop("Api", "Body", "paths", "/runway/pro/act_one")),
)
def test_every_route_in_code_is_a_method_and_the_other_way_round(template: Template) -> Faults:
    for name in functions_behind_apis(template):
        function = template.of("Lambda::Function")[name]
        routed = set(_routes(function["Handler"].rpartition(".")[0]))
        served = {
            (method, path)
            for _, path, method, operation in methods_of(template)
            if function_behind(operation) == name
        }
        if routed and routed != served:
            yield f"{name} routes {sorted(routed)} and is sent {sorted(served)}"
        if not routed and len(served) != 1:
            yield f"{name} has no routes and is sent {sorted(served)}"


def _routes(module: str) -> Iterator[tuple[str, str]]:
    for statement in source(module).body:
        match statement:
            case ast.AnnAssign(target=ast.Name("ROUTES"), value=ast.Dict(keys=keys)):
                for method, path in (ast.literal_eval(key).split() for key in keys):
                    yield method.lower(), path


@check(Break("a handler without", put("TasksFunction", "Handler", to="callback.app.handler")))
def test_every_function_behind_the_api_replies_through_serve_api(template: Template) -> Faults:
    """It adds the headers for browsers and X-Request-Id, so that no route can lack them."""
    for name in functions_behind_apis(template):
        module, _, handler = template.of("Lambda::Function")[name]["Handler"].rpartition(".")
        decorators = source(module).functions[handler].decorator_list
        called = [
            decorator.func.id
            for decorator in decorators
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name)
        ]
        if "serve_api" not in called and not is_for_callbacks_only(template, name):
            yield f"{name} replies by itself"


@check(
    Break("an edge-optimised API", drop("Api", "EndpointConfiguration")),
    Break(
        "SAM's second stage",
        add("ApiStage", "ApiGateway::Stage", RestApiId={"Ref": "Api"}, StageName="Stage"),
    ),
)
def test_every_api_is_regional_and_has_only_the_stage_that_we_named(template: Template) -> Faults:
    for api, properties in template.of("ApiGateway::RestApi").items():
        if properties.get("EndpointConfiguration") != {"Types": ["REGIONAL"]}:
            yield f"{api} is not regional"
        stages = [
            stage["StageName"]
            for stage in template.of("ApiGateway::Stage").values()
            if named(stage["RestApiId"]) == api
        ]
        deployed = [
            deployment["StageName"]
            for deployment in template.of("ApiGateway::Deployment").values()
            if "StageName" in deployment
        ]
        if stages != ["v1"] or deployed:
            yield f"{api} has the stages {stages + deployed}"


@check(
    Break("a plan for another stage", put("UsagePlan", "ApiStages", 0, "Stage", to="v2")),
    Break("a plan without a limit", drop("UsagePlan", "Throttle")),
    Break("a plan before its stage", drop("Resources", "UsagePlan", "DependsOn")),
    Break(
        "callbacks without a limit",
        put("CallbackApiStage", "MethodSettings", to=[]),
        {"CallbackIngress": "Api"},
    ),
)
def test_every_stage_is_throttled(template: Template) -> Faults:
    plans = template.of("ApiGateway::UsagePlan")
    covered = {
        (named(stage["ApiId"]), stage["Stage"])
        for plan in plans.values()
        for stage in plan.get("ApiStages", [])
    }
    for name, stage in template.of("ApiGateway::Stage").items():
        if is_for_callbacks(template, named(stage["RestApiId"])):
            limits = [limit for limit in stage["MethodSettings"] if limit["ResourcePath"] == "/*"]
            if not any({"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= {*x} for x in limits):
                yield f"{name} isn't throttled"
        elif (named(stage["RestApiId"]), stage["StageName"]) not in covered:
            yield f"{name} is in no usage plan: no key opens it"
    for name, plan in plans.items():
        throttle = plan.get("Throttle", {})
        if not {"RateLimit", "BurstLimit"} <= throttle.keys():
            yield f"{name} doesn't throttle"
        waits_for = as_list(template.resources[name].get("DependsOn", []))
        stages = template.of("ApiGateway::Stage")
        if not any(stage in stages for stage in waits_for):
            yield f"{name} may be made before the stage that it names"


@check(
    Break("no limit", drop("Apiv1Stage", "MethodSettings", 1)),
    Break("no rate", drop("Apiv1Stage", "MethodSettings", 0, "ThrottlingRateLimit")),
)
def test_every_method_without_a_key_is_throttled(template: Template) -> Faults:
    """A usage plan limits only those who send a key."""
    for api, path, method, operation in methods_of(template):
        if is_for_callbacks(template, api) or not takes_no_key(operation):
            continue
        [stage] = (
            stage
            for stage in template.of("ApiGateway::Stage").values()
            if named(stage["RestApiId"]) == api
        )
        place = (method.upper(), "/" + path.replace("/", "~1"))
        limits = [
            limit
            for limit in stage.get("MethodSettings", [])
            if (limit["HttpMethod"], limit["ResourcePath"]) == place
        ]
        if not any({"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= {*x} for x in limits):
            yield f"{method} {path} isn't throttled"


@check(
    Break("a key without a plan", without("UsagePlanKey")),
    Break("a known key", put("ApiKey", "Value", to="correct-horse-battery-staple")),
)
def test_every_api_key_is_in_a_usage_plan(template: Template) -> Faults:
    joined = {
        named(key["KeyId"])
        for key in template.of("ApiGateway::UsagePlanKey").values()
        if template.the("ApiGateway::UsagePlan", key["UsagePlanId"]) is not None
    }
    for name, key in template.of("ApiGateway::ApiKey").items():
        if name not in joined:
            yield f"{name} opens nothing"
        if key.get("Enabled") is not True:
            yield f"{name} is not enabled"
        if "Value" in key:
            yield f"{name} is in the template"


@check(
    Break("AWS's own text", drop(*ANSWERS, "THROTTLED")),
    Break("no content type", drop(*ANSWERS, "DEFAULT_5XX", "responseParameters")),
    Break(
        "half a document",
        put(*ANSWERS, "DEFAULT_4XX", "responseTemplates", "application/json", to='{"type":'),
    ),
    Break(
        "a message that ends early",
        put(
            *ANSWERS,
            "DEFAULT_4XX",
            "responseTemplates",
            "application/json",
            to='{"type":"","title":"","status":400,"detail":"$context.error.message","code":""}',
        ),
    ),
    Break("two statuses", put(*ANSWERS, "QUOTA_EXCEEDED", "statusCode", to="403")),
    Break(
        "no word for those without a key",
        put(
            *ANSWERS,
            "INTEGRATION_TIMEOUT",
            "responseTemplates",
            "application/json",
            to=json.dumps(
                {
                    "type": type_of("timed-out"),
                    "title": "The request took too long",
                    "status": 504,
                    "detail": "send the same request with the same Idempotency-Key again",
                    "code": "timed-out",
                }
            ),
        ),
    ),
)
def test_what_api_gateway_answers_itself_is_a_problem_document(template: Template) -> Faults:
    for api, properties in template.of("ApiGateway::RestApi").items():
        if is_for_callbacks(template, api):
            continue
        answers = properties["Body"].get("x-amazon-apigateway-gateway-responses", {})
        for missing in sorted(REFUSALS - answers.keys()):
            yield f"{api}: {missing} is AWS's own text"
        for kind, answer in answers.items():
            headers = answer.get("responseParameters", {})
            if headers.get("gatewayresponse.header.Content-Type") != "'application/problem+json'":
                yield f"{api}: {kind} is not labelled as a problem"
            yield from _faults_of_problem(kind, answer)


def _faults_of_problem(kind: str, answer: dict) -> Faults:
    said = 'no "task" here'
    try:
        body = answer["responseTemplates"]["application/json"]
        # What AWS puts in; only a messageString comes quoted and escaped.
        body = body.replace("$context.error.messageString", json.dumps(said))
        document = json.loads(body.replace("$context.error.message", said))
    except (KeyError, ValueError) as error:
        yield f"{kind} is no JSON: {error!r}"
        return
    if not {"type", "title", "status", "detail", "code"} <= document.keys():
        yield f"{kind} lacks a member of a problem"
    elif document["type"] != type_of(document["code"]):
        yield f"{kind} calls itself {document['type']} and {document['code']}"
    if str(document.get("status")) != str(answer.get("statusCode")):
        yield f"{kind} says another status than it has"
    told = {"Idempotency-Key again", "without a key", "look for the task"}
    if answer.get("statusCode", "").startswith("5"):
        for missing in sorted(words for words in told if words not in document["detail"]):
            yield f"{kind} doesn't say what to do with and without an idempotency key: {missing}"


EVERY_HEADER = {
    **{name: f"'{value}'" for name, value in SECURITY_HEADERS.items()},
    "Content-Type": "'application/problem+json'",
    "Content-Security-Policy": "'sandbox'",
    "X-Request-Id": "context.requestId",
}
LATER = {"THROTTLED": "'1'", "QUOTA_EXCEEDED": "'3600'"}


@check(
    Break("kept by browsers", drop(*ANSWERS, "THROTTLED", HEADERS, in_response("Cache-Control"))),
    Break("no id", drop(*ANSWERS, "DEFAULT_5XX", HEADERS, in_response("X-Request-Id"))),
    Break(
        "hidden from the allowed page",
        drop(*ANSWERS, "DEFAULT_4XX", HEADERS, in_response("Access-Control-Allow-Origin")),
        {"CorsOrigin": "*"},
    ),
    Break(
        "shown to pages that are not allowed",
        put(*ANSWERS, "DEFAULT_4XX", HEADERS, in_response("Access-Control-Allow-Origin"), to="'*'"),
    ),
    Break(
        "nothing but the body can be read",
        drop(*ANSWERS, "THROTTLED", HEADERS, in_response("Access-Control-Expose-Headers")),
        {"CorsOrigin": "*"},
    ),
    Break("no time", drop(*ANSWERS, "QUOTA_EXCEEDED", HEADERS, in_response("Retry-After"))),
)
def test_what_api_gateway_answers_itself_has_the_headers_of_the_functions(
    template: Template,
) -> Faults:
    origin = template.parameters["CorsOrigin"]
    cors = {
        "Access-Control-Allow-Origin": f"'{origin}'",
        "Access-Control-Expose-Headers": f"'{READABLE_HEADERS}'",
    }
    for api, properties in template.of("ApiGateway::RestApi").items():
        if is_for_callbacks(template, api):
            continue
        for kind, answer in properties["Body"].get(RESPONSES, {}).items():
            wanted = EVERY_HEADER | (cors if origin else {})
            if kind in LATER:
                wanted |= {"Retry-After": LATER[kind]}
            found = answer.get(HEADERS, {})
            if found != {in_response(name): value for name, value in wanted.items()}:
                yield f"{api}: {kind} has the headers {found}"


def headers_of_preflight(operation: dict) -> dict[str, str]:
    [answer] = operation["x-amazon-apigateway-integration"]["responses"].values()
    return {
        name.removeprefix("method.response.header."): value
        for name, value in answer["responseParameters"].items()
    }


PREFLIGHT = ("Api", "Body", "paths", "/tasks", "options")
PREFLIGHT_HEADERS = (
    *(*PREFLIGHT, "x-amazon-apigateway-integration", "responses", "default"),
    "responseParameters",
)


@check(
    Break("a path without", drop(*PREFLIGHT)),
    Break("one that needs a key", put(*PREFLIGHT, "security", to=[{"api_key": []}])),
    Break(
        "a header that pages can't send",
        put(
            *PREFLIGHT_HEADERS, "method.response.header.Access-Control-Allow-Headers", to="'prefer'"
        ),
        {"CorsOrigin": "*"},
    ),
    Break(
        "open to all",
        put(*PREFLIGHT_HEADERS, "method.response.header.Access-Control-Allow-Origin", to="'*'"),
    ),
    Break(
        "cookies",
        put(
            *PREFLIGHT_HEADERS,
            "method.response.header.Access-Control-Allow-Credentials",
            to="'true'",
        ),
    ),
)
def test_every_path_answers_preflights_for_the_allowed_origin(template: Template) -> Faults:
    origin = template.parameters["CorsOrigin"]
    for api, properties in template.of("ApiGateway::RestApi").items():
        if is_for_callbacks(template, api):
            continue
        for path, methods in properties["Body"]["paths"].items():
            if "options" not in methods:
                yield f"{path} answers no preflight"
                continue
            if methods["options"].get("security"):
                yield f"{path}: browsers send a preflight without a key"
            headers = headers_of_preflight(methods["options"])
            allowed = {*headers.pop("Access-Control-Allow-Methods").strip("'").lower().split(",")}
            if allowed != {*methods} & HTTP_METHODS:
                yield f"{path} allows {allowed}"
            if headers.pop("Access-Control-Allow-Origin", "''") != f"'{origin}'":
                yield f"{path} allows another origin than {origin}"
            if headers != {
                "Access-Control-Allow-Headers": SENT_HEADERS,
                "Access-Control-Max-Age": "'600'",
            }:
                yield f"{path}: {headers}"


# ── Everything else ───────────────────────────────────────────────────────────────────────────


@check(
    Break("only one permission", without("CallbackInvokePermission")),
    Break("not the other one", drop("CallbackUrlPermission", "FunctionUrlAuthType")),
    Break("a URL that wants a signature", put("CallbackUrl", "AuthType", to="AWS_IAM")),
)
def test_a_function_url_is_open_to_all_and_so_are_both_permissions_for_it(
    template: Template,
) -> Faults:
    """Since October 2025 AWS wants two: one to call the URL, one to run the function by it."""
    permissions = [*template.of("Lambda::Permission").values()]
    for name, url in template.of("Lambda::Url").items():
        if url["AuthType"] != "NONE":
            yield f"{name}: the provider can't sign"
        forms = [
            {k: v for k, v in permission.items() if k != "FunctionName"}
            for permission in permissions
            if named(permission["FunctionName"]) == named(url["TargetFunctionArn"])
        ]
        everybody = {"Principal": "*"}
        for needed in (
            everybody | {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
            everybody | {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
        ):
            if needed not in forms:
                yield f"{name} answers 403: {needed} is missing"


@check(
    Break("everyone may invoke", drop("CallbackInvokePermission", "InvokedViaFunctionUrl")),
    Break(
        "a second URL",
        add("Url", "Lambda::Url", TargetFunctionArn=get_arn("CopyFunction"), AuthType="NONE"),
    ),
    Break("an API of any account", drop("TasksFunctionGetTaskPermissionv1", "SourceArn")),
)
def test_only_the_callback_is_public(template: Template) -> Faults:
    public = {named(url["TargetFunctionArn"]) for url in template.of("Lambda::Url").values()}
    handlers = {template.of("Lambda::Function")[name]["Handler"] for name in public}
    if not handlers <= {CALLBACK}:
        yield f"function URLs lead to {sorted(handlers)}"
    for name, permission in template.of("Lambda::Permission").items():
        by_url = (
            permission.get("InvokedViaFunctionUrl") is True
            or permission.get("FunctionUrlAuthType") == "NONE"
        )
        if permission["Principal"] == "*":
            if not by_url or named(permission["FunctionName"]) not in public:
                yield f"{name} lets everybody invoke {permission['FunctionName']}"
        elif "SourceArn" not in permission:
            yield f"{name} lets {permission['Principal']} of any account invoke"


@pytest.mark.parametrize("ingress", ["FunctionUrl", "Api"])
@pytest.mark.parametrize("base_url", ["", "https://front.example/callbacks-of/act-one"])
def test_callbacks_have_the_one_way_in_that_was_chosen(ingress, base_url):
    parameters = {"CallbackIngress": ingress, "CallbackBaseUrl": base_url}
    template = Template(expanded(), parameters, SOURCE.read_text())
    by_url, by_api = ingress == "FunctionUrl", ingress == "Api"
    api = "https://${CallbackApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1/"
    own = api if by_api else "${CallbackUrl.FunctionUrl}"

    public = [p for p in template.of("Lambda::Permission").values() if p["Principal"] == "*"]
    assert len(template.of("Lambda::Url")) == by_url
    assert len(public) == 2 * by_url
    assert sum(is_for_callbacks(template, a) for a in template.of("ApiGateway::RestApi")) == by_api
    assert template.outputs["CallbackUrl"]["Value"] == own
    given = [
        function["Environment"]["Variables"].get("CALLBACK_BASE_URL")
        for function in template.of("Lambda::Function").values()
    ]
    assert [url for url in given if url] == [base_url or own] * 3
