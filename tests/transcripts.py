"""What docs/operations.md shows that commands print, by command."""

import re

from local.emulator import ROOT

_CONSOLE = re.compile(r"^```console\n\$ (make .*)\n((?:.*\n)*?)```", re.MULTILINE)
TRANSCRIPTS = dict(_CONSOLE.findall((ROOT / "docs/operations.md").read_text()))
