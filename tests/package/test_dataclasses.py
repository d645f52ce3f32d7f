"""The dataclasses of the build, whose methods are written out, against those of the source."""

import ast
import importlib.util
import json
import subprocess
import sys

import pytest

from local.emulator import ROOT
from local.handlers import LAMBDA_ENVIRONMENT, LAYERS

SOURCE, BUILT = ROOT / "layers/act_one", LAYERS["ActOneLayer"]
_spec = importlib.util.spec_from_file_location("compile_layer", SOURCE / "compile.py")
compile_layer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compile_layer)

DESCRIBE = """
import copy, dataclasses, importlib, inspect, json, pkgutil, re, sys
sys.path[:0] = sys.argv[1:]
import act_one

class Any:
    def __init__(self, name): self.name = name
    def __repr__(self): return "<" + self.name + ">"
    def __eq__(self, other): return isinstance(other, Any) and self.name == other.name
    def __hash__(self): return len(self.name)

def what_raises(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]

def hash_of(one):
    values = [getattr(one, field.name) for field in dataclasses.fields(one) if field.compare]
    try:
        return hash(one) == hash(tuple(values))
    except TypeError as error:
        return str(error)

def described(cls):
    fields = dataclasses.fields(cls)
    parameters = inspect.signature(cls).parameters.values()
    given = {
        one.name: Any(one.name) for one in parameters if one.default is inspect.Parameter.empty
    }
    made, again = cls(**given), cls(**given)
    values = [getattr(made, field.name) for field in fields]
    first = fields[0].name if fields else None
    factories = [f.name for f in fields if f.default_factory is not dataclasses.MISSING]
    others = [
        dataclasses.replace(made, **{field.name: Any("another")}) for field in fields if field.init
    ]
    return {
        "parameters": [[one.name, str(one.kind)] for one in parameters],
        "fields": [[f.name, str(f.type), f.kw_only] for f in fields],
        "defaults": [repr(f.default).partition(" at 0x")[0] for f in fields],
        "slots": cls.__slots__, "match": cls.__match_args__,
        # Of a class without one, dataclass writes its signature, which the build leaves out.
        "doc": re.sub(rf"^{cls.__name__}\\(.*", cls.__name__, cls.__doc__),
        "repr": re.sub(" at 0x[0-9a-f]+", "", repr(made)),
        "values": [type(value).__name__ for value in values],
        "shares": [name for name in factories if getattr(made, name) is getattr(again, name)],
        "equal": [made == again, made != again, made == tuple(values)],
        "others": [[made == other, repr(other) == repr(made)] for other in others],
        "compares": type(made.__eq__(1)).__name__,
        "hash": hash_of(made),
        "set": first and what_raises(lambda: setattr(made, first, 1)),
        # Without slots' known fault, by which a name that is no field is refused as a TypeError.
        "refuses more": bool(what_raises(lambda: setattr(made, "unheard_of", 1))),
        "delete": first and what_raises(lambda: delattr(made, first)),
        "missing": what_raises(cls),
        "unknown": what_raises(lambda: cls(**given, unheard_of=1)),
        "copy": copy.copy(again) == again,
    }

found = {}
for module in pkgutil.walk_packages(act_one.__path__, "act_one."):
    for cls in vars(importlib.import_module(module.name)).values():
        if isinstance(cls, type) and dataclasses.is_dataclass(cls):
            if cls.__module__ == module.name:
                name = cls.__module__ + "." + cls.__qualname__
                found[name] = described(cls) | {"file": cls.__init__.__code__.co_filename}
print(json.dumps(found))
"""


def dataclasses_of(layer):
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", DESCRIBE, layer, LAYERS["DependenciesLayer"]],
        env=LAMBDA_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def built():
    return dataclasses_of(BUILT)


def test_every_dataclass_is_written_out(built):
    assert len(built) > 50
    for name, one in built.items():
        assert one["file"].endswith(f"/{'/'.join(name.split('.')[:-1])}.py"), name


def test_each_behaves_as_in_the_source(built):
    source = dataclasses_of(SOURCE)
    assert built.keys() == source.keys()

    for name, one in source.items():
        ours = built[name]
        assert (one.pop("file"), ours.pop("file"))[0] == "<string>", "dataclass made it"
        assert ours == one, name


@pytest.mark.parametrize(
    "text",
    [
        "@dataclass\nclass A:\n    a: int",
        "@dataclass(slots=True)\nclass A(B):\n    a: int",
        "@dataclass(slots=True, order=True)\nclass A:\n    a: int",
        "@dataclass(frozen=True)\nclass A:\n    a: int",
        "@dataclass(slots=True)\nclass A:\n    a: ClassVar[int] = 1",
        "@dataclass(slots=True)\nclass A:\n    a: int = field(init=False)",
        "@dataclass(slots=True)\nclass A:\n    a: int\n    def __post_init__(self): ...",
        "@dataclass(slots=True)\nclass A:\n    a: int\n    def __eq__(self, other): ...",
    ],
)
def test_what_is_not_known_fails_the_build(text):
    with pytest.raises(compile_layer.UnknownDataclassError, match="A"):
        compile_layer.written_out(ast.parse(text))
