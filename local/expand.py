"""Usage: python -m local.expand [TEMPLATE] — what CloudFormation sees of the SAM template, as JSON.

`sam validate` looks at the template as it is written. Here it is expanded, offline, by SAM's own
translator, so that cfn-lint and the tests can look at the resources that AWS will make of it.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import intrinsics_multi_constructor

REGION = "us-east-1"
UPLOADED = "s3://bucket/key"  # stands where `sam deploy` puts the address of what it uploaded
CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def expand(template: Path, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the template after SAM's transform; parameters not given have their defaults.

    References to parameters stay references. A state machine's definition file becomes its
    `Definition`, its substitutions unreplaced.
    """
    written = load(template)
    definitions: dict[str, Any] = {}
    for name, resource in written["Resources"].items():
        properties = resource.get("Properties", {})
        if code := CODE.get(resource["Type"]):
            if "InlineCode" not in properties:
                properties[code] = UPLOADED
        elif resource["Type"] == "AWS::Serverless::StateMachine" and "DefinitionUri" in properties:
            definition = template.parent / properties.pop("DefinitionUri")
            properties["Definition"] = definitions[name] = json.loads(definition.read_text())
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=REGION))
    expanded: dict[str, Any] = translator.translate(
        written, dict(parameters or {}), passthrough_metadata=True, get_managed_policy_map=dict
    )
    for name, definition in definitions.items():  # SAM made it a join of its lines
        properties = expanded["Resources"][name]["Properties"]
        del properties["DefinitionString"]
        properties["Definition"] = definition
    return expanded


def load(template: Path) -> dict[str, Any]:
    """Read a template, its short intrinsic functions (`!Ref`) in their long form."""
    content: dict[str, Any] = yaml.load(template.read_text(), _Loader)  # noqa: S506 a SafeLoader
    return content


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags; dates (2012-10-17) stay text, as AWS reads them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def main() -> None:
    template = Path(sys.argv[1] if len(sys.argv) > 1 else "template.yaml")
    try:
        json.dump(expand(template), sys.stdout, indent=2)
    except InvalidDocumentException as error:
        sys.exit("\n".join([f"{template} can't be expanded:", *(e.message for e in error.causes)]))


if __name__ == "__main__":
    main()
