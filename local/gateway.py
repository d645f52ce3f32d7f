"""Gives the emulator the replies that API Gateway makes itself: to preflights, and its refusals.

AWS reads them from the API's document, where SAM writes them; the emulator takes them by its API
only.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from local.emulator import ROOT
from local.expand import expand

RESPONSES: Final = "x-amazon-apigateway-gateway-responses"
INTEGRATION: Final = "x-amazon-apigateway-integration"


def put_own_replies(client: Any, api_id: str, parameters: Mapping[str, str]) -> None:  # noqa: ANN401 - boto3's
    """Put the template's preflights and gateway responses into a deployed API; deploy it again."""
    template = expand(ROOT / "template.yaml")
    defaults = {name: str(one.get("Default")) for name, one in template["Parameters"].items()}
    values = {**defaults, **parameters}
    document = template["Resources"]["Api"]["Properties"]["Body"]

    def headers_of(response: Mapping[str, Any]) -> dict[str, str]:
        return dict(_resolved(response["responseParameters"], values, template["Conditions"]))

    for kind, response in document[RESPONSES].items():
        client.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(response["statusCode"]),
            responseParameters=headers_of(response),
            responseTemplates=response["responseTemplates"],
        )
    resources = client.get_resources(restApiId=api_id, limit=500)["items"]
    ids = {resource["path"]: resource["id"] for resource in resources}
    for path, methods in document["paths"].items():
        preflight = methods["options"][INTEGRATION]["responses"]["default"]
        names = {"restApiId": api_id, "resourceId": ids[path], "httpMethod": "OPTIONS"}
        client.put_method_response(**names, statusCode="200")
        client.put_integration_response(
            **names, statusCode="200", responseParameters=headers_of(preflight)
        )
    client.create_deployment(restApiId=api_id, stageName="v1")


def _resolved(
    headers: Mapping[str, Any], values: Mapping[str, str], conditions: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Decide conditions of the form "the parameter is not empty", and fill in parameters."""
    for name, written in headers.items():
        value = written
        match value:
            case {"Fn::If": [condition, then, {"Ref": "AWS::NoValue"}]}:
                [not_empty] = conditions[condition]["Fn::Not"]
                if not values[not_empty["Fn::Equals"][0]["Ref"]]:
                    continue
                value = then
        match value:
            case {"Fn::Sub": str(text)}:
                value = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)
        yield name, value
