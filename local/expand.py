"""Expands the SAM template offline. Usage: ``python -m local.expand [TEMPLATE]``.

`sam validate` checks the template as written. This prints the JSON that SAM's own translator makes
of it, so that cfn-lint and the tests can check the resources that CloudFormation will create.
"""

import json
import logging
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
UPLOADED = "s3://bucket/key"  # in place of the address to which `sam deploy` uploads
CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def expand(template: Path, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the template after SAM's transform, with defaults for parameters not given.

    References to parameters stay references. A state machine's definition file becomes its
    `Definition`, without its substitutions.
    """
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns of features of its own
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
    for name, definition in definitions.items():  # which SAM has turned into a join of lines
        properties = expanded["Resources"][name]["Properties"]
        del properties["DefinitionString"]
        properties["Definition"] = definition
    return expanded


def load(template: Path) -> dict[str, Any]:
    """Read a template, with short intrinsic functions (`!Ref`) in their long form."""
    content: dict[str, Any] = yaml.load(template.read_text(), _Loader)  # noqa: S506 a SafeLoader
    return content


class _Loader(yaml.CSafeLoader):
    """Loads YAML with CloudFormation's tags; dates (2012-10-17) stay text, as for AWS."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
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
