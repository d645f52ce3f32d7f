"""The fallback: every way through it leads somewhere, and it may do what it does."""

import ast
import json
import re
from collections.abc import Iterator

from tests.template.checks import STATES, Break, allow, check, drop, forbid, get_arn, put
from tests.template.deployment import Faults, Template, named
from tests.template.reachable_calls import source
from tests.template.test_permissions import DELIVER_LOGS, granted_to_functions

DROPPED_BY_AWS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}


def machines_of(template: Template) -> Iterator[tuple[str, dict, dict]]:
    """List the state machines, those inside Map and Parallel states too, with their resource."""
    for name, properties in template.of("StepFunctions::StateMachine").items():
        todo = [properties["Definition"]]
        while todo:
            machine = todo.pop()
            yield name, machine, properties
            for state in machine["States"].values():
                todo += state.get("Branches", [])
                todo += [state["ItemProcessor"]] if "ItemProcessor" in state else []


def next_of(state: dict) -> list[str]:
    """List where a state can lead to."""
    leads = [state, *state.get("Choices", []), *state.get("Catch", [])]
    named_next = [lead["Next"] for lead in leads if "Next" in lead]
    return [*named_next, state["Default"]] if "Default" in state else named_next


def ends(state: dict) -> bool:
    return state.get("End") is True or state["Type"] in {"Succeed", "Fail"}


def function_of(state: dict, properties: dict) -> str | None:
    """Name the function of a task state, through the definition's substitutions."""
    token = re.fullmatch(r"\$\{(\w+)\}", state.get("Resource", ""))
    return named(properties.get("DefinitionSubstitutions", {}).get(token[1])) if token else None


def tasks_of(template: Template) -> Iterator[tuple[str, dict, str | None]]:
    for name, machine, properties in machines_of(template):
        for label, state in machine["States"].items():
            if state["Type"] == "Task":
                yield f"{name}: {label}", state, function_of(state, properties)


@check(
    Break("a dangling next", put(*STATES, "Wait", "Next", to="Advanced")),
    Break("a dangling choice", put(*STATES, "AnythingToWaitFor", "Choices", 0, "Next", to="Waits")),
    Break("a dangling catch", put(*STATES, "Advance", "Catch", 0, "Next", to="Nowhere")),
    Break("no default", drop(*STATES, "AnythingToWaitFor", "Default")),
    Break("no start", put("Fallback", "Definition", "StartAt", to="Begin")),
    Break("no next", drop(*STATES, "Wait", "Next")),
    Break("no time to wait", drop(*STATES, "Wait", "Seconds")),
)
def test_every_state_leads_to_a_state_that_is(template: Template) -> Faults:
    for name, machine, _ in machines_of(template):
        states = machine["States"]
        for label, state in states.items():
            for target in next_of(state):
                if target not in states:
                    yield f"{name}: {label} leads to {target}, which is not there"
            if not next_of(state) and not ends(state):
                yield f"{name}: {label} leads nowhere"
            if state["Type"] == "Choice" and "Default" not in state:
                yield f"{name}: {label} has no default"
            if state["Type"] == "Wait" and not {"Seconds", "Timestamp"} & state.keys():
                yield f"{name}: {label} doesn't say how long"
        if machine["StartAt"] not in states:
            yield f"{name} starts at {machine['StartAt']}, which is not there"


@check(
    Break("a state beside", put(*STATES, "Beside", to={"Type": "Succeed"})),
)
def test_every_state_is_reached(template: Template) -> Faults:
    for name, machine, _ in machines_of(template):
        reached, todo = set(), {machine["StartAt"]}
        while todo:
            reached |= todo
            todo = {
                target
                for label in todo
                for target in next_of(machine["States"].get(label, {"Type": "Fail"}))
            } - reached
        for label in machine["States"].keys() - reached:
            yield f"{name}: nothing leads to {label}"


@check(
    Break("a loop", put(*STATES, "Loop", to={"Type": "Pass", "Next": "Loop"})),
)
def test_an_end_is_reached_from_every_state(template: Template) -> Faults:
    for name, machine, _ in machines_of(template):
        states = machine["States"]
        ending = {label for label, state in states.items() if ends(state)}
        while more := {n for n, s in states.items() if ending & {*next_of(s)}} - ending:
            ending |= more
        for label in states.keys() - ending:
            yield f"{name}: {label} goes on for ever"


@check(
    Break("not given", drop("Fallback", "DefinitionSubstitutions", "FallbackFunctionArn")),
    Break("not used", put("Fallback", "DefinitionSubstitutions", "Other", to="1")),
)
def test_every_substitution_is_given_and_used(template: Template) -> Faults:
    for name, properties in template.of("StepFunctions::StateMachine").items():
        used = set(re.findall(r"\$\{(\w+)\}", json.dumps(properties["Definition"])))
        given = properties.get("DefinitionSubstitutions", {}).keys()
        for token in sorted(used ^ given):
            yield f"{name}: {token} is {'not given' if token in used else 'not used'}"


@check(
    Break("no task", drop(*STATES, "Advance", "Arguments")),
    Break(
        "another name",
        put(*STATES, "Advance", "Arguments", to={"id": "{% $states.input.task_id %}"}),
    ),
    Break("a text", put(*STATES, "Advance", "Arguments", "task_id", to="task_id")),
    Break("another question", put(*STATES, "Wait", "Seconds", to="{% $states.input.seconds %}")),
)
def test_a_state_machine_and_its_function_mean_the_same_fields(template: Template) -> Faults:
    for label, state, name in tasks_of(template):
        given = state.get("Arguments", {})
        read, answered = fields_of(template.of("Lambda::Function")[name or ""]["Handler"])
        if given.keys() != read:
            yield f"{label} gives {sorted(given)}, its function reads {sorted(read)}"
        machine = template.of("StepFunctions::StateMachine")[label.partition(":")[0]]
        asked = {*re.findall(r"\$states\.input\.(\w+)", json.dumps(machine["Definition"]))}
        if asked != answered:
            yield f"{label} answers {sorted(answered)}, what follows asks for {sorted(asked)}"
        for expression in given.values():
            if not re.fullmatch(r"\{% .* %\}", expression):
                yield f"{label} gives the text {expression}"


def fields_of(handler: str) -> tuple[set[str], set[str]]:
    """Name the fields that a handler reads of its event, and those of its answer."""
    module, _, name = handler.rpartition(".")
    read, answered = set(), set()
    for node in ast.walk(source(module).functions[name]):
        match node:
            case ast.Subscript(value=ast.Name(id="event"), slice=ast.Constant(value=field)):
                read.add(field)
            case ast.Return(value=ast.Dict(keys=keys)):
                answered |= {key.value for key in keys}
    return read, answered


@check(
    Break("five minutes", put("Fallback", "StateMachineType", to="EXPRESS")),
)
def test_every_state_machine_runs_for_as_long_as_a_task(template: Template) -> Faults:
    """An express one ends after five minutes."""
    for name, properties in template.of("StepFunctions::StateMachine").items():
        if properties.get("StateMachineType", "STANDARD") != "STANDARD":
            yield f"{name} is of the type {properties['StateMachineType']}"


@check(
    Break("the other language", drop("Fallback", "Definition", "QueryLanguage")),
    Break("half of it", put(*STATES, "Wait", "OutputPath", to="$")),
)
def test_expressions_are_jsonata(template: Template) -> Faults:
    """One step written in the other language would read an expression as plain text."""
    for name, properties in template.of("StepFunctions::StateMachine").items():
        if properties["Definition"].get("QueryLanguage") != "JSONata":
            yield f"{name} doesn't say that it is written in JSONata"
    for name, machine, _ in machines_of(template):
        for label, state in machine["States"].items():
            of_json_path = {"InputPath", "Parameters", "ResultPath", "ResultSelector", "OutputPath"}
            if state.get("QueryLanguage", "JSONata") != "JSONata" or of_json_path & state.keys():
                yield f"{name}: {label} is written in JSONPath"


@check(
    Break("no retry", drop(*STATES, "Advance", "Retry")),
    Break("no catch", drop(*STATES, "Advance", "Catch")),
)
def test_every_task_state_retries_what_aws_drops_and_catches_the_rest(
    template: Template,
) -> Faults:
    for label, state, _ in tasks_of(template):
        retried = {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"]}
        if DROPPED_BY_AWS - retried:
            yield f"{label} doesn't retry"
        caught = {error for catch in state.get("Catch", []) for error in catch["ErrorEquals"]}
        if "States.ALL" not in caught:
            yield f"{label} doesn't catch everything"


@check(
    Break("too early", put(*STATES, "Advance", "TimeoutSeconds", to=45)),
    Break("after 99999999 s", drop(*STATES, "Advance", "TimeoutSeconds")),
)
def test_every_task_state_outwaits_its_function(template: Template) -> Faults:
    for label, state, name in tasks_of(template):
        function = template.of("Lambda::Function").get(name or "")
        if function is None:
            yield f"{label} runs no function of this template"
        elif state.get("TimeoutSeconds", 0) <= function["Timeout"]:
            yield f"{label} gives up before its function does"


@check(
    Break("no function", forbid("FallbackStateMachineRole", "lambda:InvokeFunction")),
    Break("no logs", forbid("FallbackStateMachineRole", "logs:PutResourcePolicy")),
    Break(
        "another function",
        allow("FallbackStateMachineRole", "lambda:InvokeFunction", get_arn("CopyFunction")),
    ),
)
def test_a_state_machine_may_run_its_functions_deliver_its_logs_and_no_more(
    template: Template,
) -> Faults:
    for name, properties in template.of("StepFunctions::StateMachine").items():
        needed = {(action, "*") for action in DELIVER_LOGS}
        needed |= {
            ("lambda:InvokeFunction", f"${{{function}.Arn}}")
            for label, _, function in tasks_of(template)
            if label.startswith(f"{name}: ")
        }
        granted = granted_to_functions(template, properties["RoleArn"])
        for action, resource in sorted(needed - granted):
            yield f"{name} may not {action} on {resource}"
        for action, resource in sorted(granted - needed):
            yield f"{name} may {action} on {resource}, but doesn't"


@check(
    Break("nowhere", put("Fallback", "LoggingConfiguration", "Destinations", to=[])),
    Break("another group", drop("FallbackStateMachineLogs", "LogGroupName")),
    Break(
        "tasks in logs", put("Fallback", "LoggingConfiguration", "IncludeExecutionData", to=True)
    ),
)
def test_a_state_machine_logs_failures_but_no_data_to_a_group_that_never_fills_a_policy(
    template: Template,
) -> Faults:
    """Other groups are added one by one to a resource policy of the account that ends at 5 KB."""
    for name, properties in template.of("StepFunctions::StateMachine").items():
        logging = properties.get("LoggingConfiguration", {})
        if logging.get("Level") != "ERROR" or logging.get("IncludeExecutionData") is not False:
            yield f"{name} logs too much or nothing"
        for destination in logging.get("Destinations") or [{}]:
            arn = destination.get("CloudWatchLogsLogGroup", {}).get("LogGroupArn")
            group = template.the("Logs::LogGroup", arn) or {}
            if not group.get("LogGroupName", "").startswith("/aws/vendedlogs/states/"):
                yield f"{name} logs to {arn}"
