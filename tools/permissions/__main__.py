"""python -m tools.permissions   writes docs/permissions.md and docs/snippets/deploy-role.yaml."""

from typing import Final

from local.emulator import ROOT
from local.expand import expand
from tools.permissions.deploying import needs_of
from tools.permissions.document import render
from tools.permissions.role import render_role

DOCUMENT: Final = ROOT / "docs/permissions.md"
ROLE: Final = ROOT / "docs/snippets/deploy-role.yaml"


def main() -> None:
    template = expand(ROOT / "template.yaml")
    needs = needs_of(template)
    DOCUMENT.write_text(render(template, needs))
    ROLE.write_text(render_role(needs))


if __name__ == "__main__":
    main()
