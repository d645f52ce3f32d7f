"""Print the number of shipped modules and imports, and the sizes of functions and modules.

python -m tools.structure [FOLDER]   reads FOLDER's layers and functions (default: here)

A code line is not blank and holds more than a comment or docstring. The level of a module is one
above the highest level of the modules that it imports.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LAYER = Path("layers/act_one")
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code."""
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            numbers.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            numbers.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return numbers


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of code lines of each function of a module."""
    lines = code_lines(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            yield node.name, len(lines & {*range(node.lineno, (node.end_lineno or 0) + 1)})


def imports(root: Path) -> dict[str, set[str]]:
    """Map each module of the package to the package's modules that it imports."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in root.glob("act_one/**/*.py")
        if path.name != "__init__.py"
    }
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[name] = named & paths.keys() - {name}
    return graph


def levels(graph: dict[str, set[str]]) -> int:
    """Return the number of import levels."""

    @cache
    def level(name: str) -> int:
        return 1 + max((level(imported) for imported in graph[name]), default=0)

    return max(map(level, graph))


def packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Merge the modules of each package; modules outside of packages count as one."""

    def package(name: str) -> str:
        parts = name.split(".")
        return parts[1] if len(parts) > 2 else "act_one"

    merged: dict[str, set[str]] = {}
    for name, imported in graph.items():
        merged.setdefault(package(name), set()).update(map(package, imported))
    return {name: imported - {name} for name, imported in merged.items()}


def main(folder: Path) -> None:
    """Print the figures of a folder."""
    layer = folder / LAYER
    paths = [*layer.glob("act_one/**/*.py"), *(folder / "functions").glob("**/*.py")]
    texts = {str(path.relative_to(folder)): path.read_text() for path in paths}
    sizes = {name: len(code_lines(text)) for name, text in texts.items()}
    longest = max(
        (lines, f"{path}:{name}") for path, t in texts.items() for name, lines in functions(t)
    )
    graph = imports(layer)
    grouped = packages(graph)
    print(f"code lines shipped          {sum(sizes.values()):,}")
    print(f"modules                     {len(graph)}")
    print(f"imports between modules     {sum(map(len, graph.values()))}")
    print(f"levels of modules           {levels(graph)}")
    print(f"packages, with act_one      {len(grouped)}")
    print(f"imports between packages    {sum(map(len, grouped.values()))}")
    print(f"levels of packages          {levels(grouped)}")
    print(f"largest module              {max((size, name) for name, size in sizes.items())}")
    print(f"largest function            {longest}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
