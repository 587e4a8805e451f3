"""Mutation testing: which small faults in the code its tests do not see.

    pip install cosmic-ray
    python benchmarks/mutants.py --count 200    # half an hour; called again, it goes on

A mutant is a module with one operator, number, comparison or truth value changed by Cosmic Ray's
operators. The tests of that module alone, its doctests among them, run on it in a copy of the
checkout: it is caught where they fail or take too long. The sample is the same on every run. What
was caught is kept in the journal and not run again while module and tests stay what they are.
"""

import argparse
import difflib
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "speechbrain_merit"
#: Module → its tests.
TARGETS = {
    "lobes/routing.py": ["lobes/test_routing.py"],
    "lobes/experts.py": ["lobes/test_experts.py", "lobes/test_quantised.py"],
    "lobes/frames.py": ["lobes/test_frames.py"],
    "lobes/emotion.py": ["lobes/test_heads.py"],
    "lobes/objectives.py": ["training/test_losses.py"],
    "training/losses.py": ["training/test_losses.py", "lobes/test_routing.py"],
    "measures.py": ["training/test_losses.py", "evaluation/test_metrics.py"],
    "data/mixing.py": ["data/test_mixing.py", "data/test_mixing_bytes.py"],
    "data/augmentation.py": [
        "data/test_mixing.py",
        "data/test_rooms.py",
        "data/test_noise_as_it_is.py",
    ],
    "data/rooms.py": ["data/test_rooms.py", "data/test_mixing_bytes.py"],
    "evaluation/emotion.py": ["evaluation/test_metrics.py"],
    "evaluation/enhancement.py": ["evaluation/test_metrics.py"],
    "evaluation/segmental.py": ["evaluation/test_metrics.py"],
    "evaluation/significance.py": ["evaluation/test_significance.py"],
    "evaluation/calibration.py": ["evaluation/test_calibration.py"],
    "inference/timeline.py": ["inference/test_timeline.py"],
    "audio/windows.py": ["audio/test_windows.py"],
}
#: Bits and shifts would only make errors of type, which any test catches.
OPERATORS = re.compile(
    r"core/(NumberReplacer|AddNot|Replace(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue)"
    r"|ReplaceUnaryOperator_(USub_UAdd|Delete_Not)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul)"
    r"|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_GtE|Gt_LtE"
    r"|Is_IsNot|IsNot_Is))"
)


def mutants(module):
    """Every mutant of a module: (module, operator, occurrence)."""
    nodes = list(ast_nodes(get_ast((ROOT / PACKAGE / module).read_text(encoding="utf-8"))))
    for name in sorted(filter(OPERATORS.fullmatch, operator_names())):
        operator = get_operator(name)()
        count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        yield from ((module, name, occurrence) for occurrence in range(count))


def copy_checkout(folder):
    """Copies what git knows of, and new files, into a folder."""
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), names.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def passes(folder, module, seconds):
    """Whether the tests of a module pass in a folder, in so many seconds."""
    paths = [f"{PACKAGE}/{module}", *(f"tests/{name}" for name in TARGETS[module])]
    process = multiprocessing.get_context("fork").Process(target=test, args=(folder, paths))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def test(folder, paths):
    """Runs tests in a process of its own and ends it with pytest's exit code."""
    os.setsid()  # so that what the tests start can be ended with them
    os.chdir(folder)
    with open(os.devnull, "w") as nothing:
        for stream in (1, 2):
            os.dup2(nothing.fileno(), stream)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, str(folder))
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *paths]))


def preload():
    """Imports what all tests do, but for the package: each of them is a fork of this process."""
    sys.dont_write_bytecode = True
    for name in ("torch", "speechbrain", "transformers", "scipy.signal", "sklearn", "hypothesis"):
        importlib.import_module(name)
    assert PACKAGE not in sys.modules


def change(before, after):
    """The lines that a mutant changes, and where."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
    where = re.search(r"-(\d+)", lines[2])[1]
    return where, [line for line in lines[3:] if not line.startswith("@@")]


def digest(module):
    """Of a module and its tests."""
    paths = [ROOT / PACKAGE / module, *(ROOT / "tests" / name for name in TARGETS[module])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def main():
    """Runs the sample and prints what survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="size of the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", help="modules, such as lobes/frames.py,data/mixing.py")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a mutant may take")
    parser.add_argument("--journal", type=Path, default=Path("results/mutants.jsonl"))
    options = parser.parse_args()
    modules = options.only.split(",") if options.only else list(TARGETS)
    every = [mutant for module in modules for mutant in mutants(module)]
    sample = random.Random(options.seed).sample(every, min(options.count, len(every)))
    options.journal.parent.mkdir(parents=True, exist_ok=True)
    lines = options.journal.read_text().splitlines() if options.journal.exists() else []
    known = {tuple(entry["mutant"]): entry for entry in map(json.loads, lines)}
    print(f"{len(sample)} of {len(every)} mutants", flush=True)
    preload()
    survived, sound = [], set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_checkout(folder)
        for module, operator, occurrence in sample:
            before = (ROOT / PACKAGE / module).read_text(encoding="utf-8")
            after = mutate_code(before, get_operator(operator)(), occurrence)
            entry = {"mutant": [module, operator, occurrence], "digest": digest(module)}
            earlier = known.get(tuple(entry["mutant"]))
            if earlier is None or earlier["digest"] != entry["digest"]:
                if module not in sound and not passes(folder, module, options.timeout):
                    sys.exit(f"The tests of {module} fail, or take too long, without a mutant.")
                sound.add(module)
                (folder / PACKAGE / module).write_text(after, encoding="utf-8")
                entry["survived"] = passes(folder, module, options.timeout)
                (folder / PACKAGE / module).write_text(before, encoding="utf-8")
                with open(options.journal, "a") as file:
                    file.write(json.dumps(entry) + "\n")
                earlier = entry
            if earlier["survived"]:
                where, changed = change(before, after)
                survived.append(entry)
                print(f"survived: {module}:{where}", *changed, sep="\n    ", flush=True)
    caught = len(sample) - len(survived)
    print(f"{caught} of {len(sample)} caught: {100 * caught / len(sample):.0f} %")


if __name__ == "__main__":
    main()
