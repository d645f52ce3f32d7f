"""What the documents show that commands print, by command."""

import re

from local.emulator import ROOT

_CONSOLE = re.compile(r"^```console\n\$ (make .*)\n((?:.*\n)*?)```", re.MULTILINE)
TRANSCRIPTS = dict(
    shown
    for page in ("operations", "provider")
    for shown in _CONSOLE.findall((ROOT / f"docs/{page}.md").read_text())
)
