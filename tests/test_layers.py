"""Imports run downwards only: the floors of the package, from the ground up."""

import ast
from pathlib import Path

import pytest

#: A room imports itself and rooms of lower floors; rooms of one floor are strangers.
FLOORS = (
    ("errors", "devices", "labels", "writing", "drawing", "measures", "lobes", "__init__"),
    ("audio", "evaluation", "export"),
    ("data", "inference", "released"),
    ("training", "live"),
    ("experiments",),
    ("recipes", "train", "evaluate", "__main__", "benchmarks", "pretrained"),
)
#: On the ground floor and the top one, rooms may import each other.
OPEN = (0, len(FLOORS) - 1)
#: Old names that the YAML of an exported folder can hold; each hands on to its new place.
SHIMS = {"loading"}


def room(module):
    """The room of a module by its dotted name."""
    parts = module.split(".")
    if parts[0] != "speechbrain_merit":
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path):
    """Dotted names of the project's modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # from speechbrain_merit import errors names a room by what it takes
            whole = node.module == "speechbrain_merit"
            names = [f"{node.module}.{a.name}" if whole else node.module for a in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "speechbrain_merit")


def against(files, root):
    """Every import that runs upwards or to a stranger: ``"a.py imports b"``."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = []
    for path in files:
        own = room(".".join(path.relative_to(root).with_suffix("").parts))
        if own in SHIMS:
            continue
        for module in imports(path):
            other = room(module)
            if not hasattr_room(root, other) and other not in floor:
                other = "__init__"  # __version__ and the like
            below = floor[other] < floor[own] or (floor[other] == floor[own] and floor[own] in OPEN)
            if own != other and not below:
                wrong.append(f"{path.relative_to(root)} imports {module}")
    return wrong


def hasattr_room(root, name):
    """Whether the package has a room of that name."""
    package = root / "speechbrain_merit"
    return (package / name).is_dir() or (package / f"{name}.py").is_file()


def sources(root):
    """Every Python file of the package, the recipes and the entries."""
    for folder in ("speechbrain_merit", "recipes"):
        yield from sorted((root / folder).rglob("*.py"))
    yield from (root / "train.py", root / "evaluate.py")


def test_imports_run_downwards_only(repo_root):
    assert against(sources(repo_root), repo_root) == []


def test_every_room_has_a_floor(repo_root):
    rooms = {
        path.stem for path in (repo_root / "speechbrain_merit").iterdir() if path.stem[0] != "."
    }
    rooms -= {"__pycache__", *SHIMS}
    assert rooms == {name for floor in FLOORS[:-1] for name in floor} | {"__main__"}


@pytest.mark.parametrize(
    "line, seen",
    [
        ("from speechbrain_merit.training.brain import MeritBrain", True),
        ("def f():\n    from speechbrain_merit.data import corpora", True),
        ("import speechbrain_merit.inference.jobs", True),
        ("from speechbrain_merit.audio.files import AudioReader", True),  # a stranger
        ("from speechbrain_merit.lobes.spectrum import SAMPLE_RATE", False),
        ("from speechbrain_merit import __version__", False),
    ],
)
def test_an_import_against_the_floors_is_named_with_both_files(tmp_path, line, seen):
    for name in ("training", "data", "inference", "audio", "lobes", "evaluation"):
        (tmp_path / "speechbrain_merit" / name).mkdir(parents=True)
    path = tmp_path / "speechbrain_merit" / "evaluation" / "odd.py"
    path.write_text(line)
    found = against([path], tmp_path)
    assert bool(found) == seen
    assert all(text.startswith(str(Path("speechbrain_merit/evaluation/odd.py"))) for text in found)
