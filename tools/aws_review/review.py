"""Reads every resource of a stack back and lists what isn't as the template says."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tests.template.deployment import Template
from tools.aws_review.comparison import differences
from tools.aws_review.deployment import Deployed
from tools.aws_review.emulators import Emulator
from tools.aws_review.reading import READERS, wanted

_REFERENCE: Final = re.compile(r"\$\{(\w+)(?:\.(\w+))?\}")


def compare(
    template: Template, deployed: Deployed, emulator: Emulator
) -> Iterator[tuple[str, str]]:
    """Pair each resource that differs with what differs."""
    for name, physical in deployed.ids.items():
        resource = template.resources.get(name)
        kind = resource["Type"].removeprefix("AWS::") if resource else ""
        if resource is None or kind not in READERS:
            continue
        said = resource.get("Properties", {})
        asked = with_ids(said, deployed.ids)
        try:
            read = READERS[kind](emulator.clients, physical, asked)
        except (ClientError, BotoCoreError, KeyError, TypeError, IndexError, ValueError) as error:
            yield name, f"can't be read: {error!r:.120}"
            continue
        compared = wanted(kind, said)
        compared = {member: compared[member] for member in read if member in compared}
        for difference in differences(compared, read, deployed.ids):
            yield name, difference


def with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Put physical ids in the places of references, whatever they refer to of a resource."""
    if isinstance(value, dict):
        return {name: with_ids(member, ids) for name, member in value.items()}
    if isinstance(value, list):
        return [with_ids(member, ids) for member in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda found: ids.get(found[1], found[0]), value)
