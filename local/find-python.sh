#!/bin/sh
# Prints the path of a Python 3.13, or how to get one. A name on PATH is no proof (pyenv
# puts one there for every version that it knows), so each candidate is run.
for candidate in python3.13 python3 python "$(uv python find 3.13 2>/dev/null)"; do
    [ -n "$candidate" ] &&
        "$candidate" -c 'import sys
if sys.version_info[:2] != (3, 13):
    raise SystemExit(1)
print(sys.executable)' 2>/dev/null && exit
done
cat >&2 <<'FIX'
Python 3.13 is needed and wasn't found. Any of these installs it:
    pyenv install 3.13                 https://github.com/pyenv/pyenv
    uv python install 3.13             https://docs.astral.sh/uv
    apt install python3.13-venv        where the distribution has it (Fedora: dnf install
                                       python3.13; Homebrew: brew install python@3.13)
FIX
exit 1
