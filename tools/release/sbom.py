"""Write the bill of materials of what ships, in CycloneDX, and check it against its schema.

    .tools/release/bin/python -m tools.release.sbom VERSION REQUIREMENTS LAYER TARGET

The components are the packages of the built layer: their licences and dependencies are read from
their metadata there, their hashes from the pins. It has no time and no random number, so that the
same release has the same file. Imports nothing of this repository: its environment is another one.
"""

import re
import sys
import uuid
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

NAMESPACE = uuid.UUID("5b0bbd5e-6a0b-5a0c-9a55-3f1f0d6c1b52")
"""Of the serial numbers, which follow from the version and the pins."""
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
LICENSES = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""For packages that name their licence by a classifier only."""
KNOWN = {"python-dateutil": "BSD-3-Clause"}
"""For packages whose metadata say too little: this one has a dual licence, and all is under BSD."""


class SbomError(Exception):
    """The bill of materials would be wrong; the message says why."""


def normal(name: str) -> str:
    """Write a package's name as the index compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(requirements: Path) -> dict[str, tuple[str, list[str]]]:
    """Read the version and the hashes of each pinned package."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in requirements.read_text().splitlines():
        if pin := PIN.match(line):
            name = normal(pin[1])
            found[name] = (pin[2], [])
        if name:
            found[name][1].extend(HASH.findall(line))
    return found


def shipped(layer: Path) -> dict[str, Message]:
    """Read the metadata of the packages in a built layer."""
    parsed = [
        HeaderParser().parsestr(path.read_text()) for path in layer.glob("*.dist-info/METADATA")
    ]
    return {normal(metadata["Name"]): metadata for metadata in parsed}


def license_of(metadata: Message, licenses: LicenseFactory) -> License:
    """Return a package's licence. Raises ``SbomError`` if its metadata name none."""
    text = (
        KNOWN.get(normal(metadata["Name"]))
        or metadata["License-Expression"]
        or next(
            (LICENSES[one] for one in metadata.get_all("Classifier", ()) if one in LICENSES),
            metadata["License"],
        )
    )
    if not text:
        raise SbomError(f"{metadata['Name']} names no licence")
    return licenses.make_from_string(text)


def bill(version: str, requirements: Path, layer: Path) -> Bom:
    """Return the bill of materials. Raises ``SbomError`` if a package is not the pinned one."""
    licenses, pinned, found = LicenseFactory(), pins(requirements), shipped(layer)
    if not found:
        raise SbomError(f"{layer} has no packages: run `make build`")
    components: dict[str, Component] = {}
    for name, metadata in sorted(found.items()):
        if name not in pinned or pinned[name][0] != metadata["Version"]:
            raise SbomError(f"{name} {metadata['Version']} is in the layer, but not pinned")
        components[name] = Component(
            name=name,
            version=metadata["Version"],
            type=ComponentType.LIBRARY,
            bom_ref=f"pkg:pypi/{name}@{metadata['Version']}",
            purl=PackageURL("pypi", None, name, metadata["Version"]),
            description=metadata["Summary"],
            licenses=[license_of(metadata, licenses)],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=h) for h in pinned[name][1]],
        )
    product = Component(
        name="act-one",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=f"act-one@{version}",
        licenses=[licenses.make_from_string("Apache-2.0")],
    )
    named = f"{version}\n{requirements.read_text()}"
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, named),
        metadata=BomMetaData(component=product),
        components=components.values(),
    )
    bom.register_dependency(product, components.values())
    for name, metadata in found.items():
        needed = {
            normal(REQUIREMENT.match(one)[0])
            for one in metadata.get_all("Requires-Dist", ())
            if "extra ==" not in one
        }
        bom.register_dependency(
            components[name], [components[other] for other in sorted(needed & components.keys())]
        )
    return bom


def written(bom: Bom) -> str:
    """Write a bill of materials as JSON, without the time. Raises ``SbomError`` if not valid."""
    bom.metadata.timestamp = None
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if errors := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SbomError(f"the document does not follow CycloneDX's schema: {errors}")
    return f"{text}\n"


def main(arguments: list[str]) -> int:
    version, requirements, layer, target = arguments
    try:
        Path(target).write_text(written(bill(version, Path(requirements), Path(layer))))
    except SbomError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
