"""A deployed stack as its operator sees it: outputs, parameters, resources, and its addresses."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import requests

from ops.stacks import CommandError, existing_stack, outputs_of

if TYPE_CHECKING:
    import boto3

NEEDED_OUTPUTS: Final = frozenset(
    {
        *("ApiUrl", "ApiKeyId", "CallbackUrl", "EventBus", "FallbackArn", "ProviderKeyCommand"),
        *("TasksTable", "LedgerTable", "ResultsBucket", "UploadsBucket"),
    }
)
"""What the commands use of a stack's outputs."""
HTTP_SECONDS: Final = 40.0
"""Longer than the 29 s after which API Gateway answers in place of a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of a stack: its name in the template, its type, and its own id."""

    name: str
    type: str
    id: str
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack of this template, as CloudFormation describes it."""

    session: "boto3.Session"
    name: str
    id: str
    status: str
    changed_at: str
    """When it was last deployed."""
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    """Those of the template; secret ones are hidden."""
    resources: Mapping[str, Resource]
    """By their names in the template."""
    clients: dict[str, Any] = field(default_factory=dict, repr=False)
    """Those of AWS services that were built."""

    @classmethod
    def of(cls, name: str, session: "boto3.Session") -> Self:
        """Read a stack by its name. Raises ``CommandError`` if it isn't one of this template."""
        found = existing_stack(name, session)
        outputs = outputs_of(found)
        if not outputs.keys() >= NEEDED_OUTPUTS:
            raise CommandError(
                f"{name!r} is not a stack of act-one, or isn't deployed as a whole: "
                f"`make doctor STACK={name}` says more."
            )
        listed = found.get("Parameters", ())
        changed_at = found.get("LastUpdatedTime") or found["CreationTime"]
        return cls(
            session=session,
            name=found["StackName"],
            id=found["StackId"],
            status=found["StackStatus"],
            changed_at=changed_at.isoformat(timespec="seconds"),
            outputs=outputs,
            parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in listed},
            resources={one.name: one for one in list_resources(found["StackId"], session)},
        )

    def client(self, service: str) -> Any:  # noqa: ANN401 - the name decides the type
        """Return the client of a service, built once."""
        if service not in self.clients:
            self.clients[service] = self.session.client(service)  # type: ignore[call-overload]
        return self.clients[service]

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of a type, such as ``AWS::Lambda::Function``."""
        return [one for one in self.resources.values() if one.type == kind]

    def id_of(self, name: str) -> str:
        """Return the id of a resource by its name in the template. Raises ``CommandError``."""
        if name not in self.resources:
            raise CommandError(f"The stack {self.name} has no {name}: deploy it again.")
        return self.resources[name].id


def list_resources(stack_id: str, session: "boto3.Session") -> Iterator[Resource]:
    """List the resources of a stack, which may be deleted: of that, those that were kept too."""
    pages = session.client("cloudformation").get_paginator("list_stack_resources")
    for page in pages.paginate(StackName=stack_id):
        for found in page["StackResourceSummaries"]:
            yield Resource(
                name=found["LogicalResourceId"],
                type=found["ResourceType"],
                id=found.get("PhysicalResourceId", ""),
                status=found["ResourceStatus"],
            )


def api_key(stack: Stack) -> str:
    """Read the stack's own API key, which is never shown."""
    answer = stack.client("apigateway").get_api_key(
        apiKey=stack.outputs["ApiKeyId"], includeValue=True
    )
    return str(answer["value"])


def request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> requests.Response:
    """Send a request to an address of a stack, once, without redirects.

    Where AWS_ENDPOINT_URL names a stand-in for AWS, it is sent there: the stack's host names
    resolve on AWS only. Raises ``CommandError`` if there is no reply.
    """
    address, host = reached_at(url, os.environ.get("AWS_ENDPOINT_URL"))
    try:
        return requests.request(
            method,
            address,
            headers={**(headers or {}), **host},
            data=body,
            timeout=HTTP_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        name = urlsplit(url).netloc
        raise CommandError(f"{name} doesn't answer: {type(error).__name__}.") from error


def json_object(answer: requests.Response) -> dict[str, Any]:
    """Return the JSON object in a reply; empty if there is none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def reached_at(url: str, endpoint: str | None) -> tuple[str, dict[str, str]]:
    """Return where a URL of AWS is reached, and the header that says which host is meant."""
    place = urlsplit(url)
    if not endpoint or not place.hostname:
        return url, {}
    query = f"?{place.query}" if place.query else ""
    name, _, domain = place.hostname.partition(".")
    if domain.startswith("execute-api."):
        return f"{endpoint}/_aws/execute-api/{name}{place.path}{query}", {}
    if domain.startswith("lambda-url."):
        return f"{endpoint}{place.path}{query}", {"Host": place.netloc}
    return url, {}
