"""What is installed: metadata, pins, the commands of the README, and a tree fit to publish."""

import ast
import importlib
import importlib.resources
import importlib.util
import os
import re
import runpy
import subprocess
import sys

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import speechbrain_merit

# Written with [ ], so that this file does not match itself.
NOT_FOR_THE_TREE = re.compile(
    r"[/]work/|[/]root/|[/]home/\w|[/]Users/\w|[/]opt/(wheels|pypi)"  # a machine's folders
    r"|pypi[.]org|pythonhosted[.]|download[.]pytorch|find[-]links|index[-]url"  # registries
)


@pytest.fixture
def metadata(repo_root, monkeypatch):
    """The arguments that setup.py gives to setuptools."""
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.chdir(repo_root)  # as pip does
    runpy.run_path(str(repo_root / "setup.py"))
    return given


@pytest.fixture
def pins(repo_root):
    """constraints.txt as {name: versions}; every line of it must be a pin or a comment.

    Of a name with several pins, one holds on each Python.
    """
    lines = (repo_root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    names = [requirement.name for requirement in requirements]
    assert names == sorted(names)
    found = {}
    for requirement in requirements:
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), {})[pin.version] = requirement.marker
    for name, versions in found.items():
        for python in ("3.10", "3.11", "3.12", "3.13", "3.14"):
            environment = {"python_version": python}
            holding = [m for m in versions.values() if m is None or m.evaluate(environment)]
            assert len(holding) == 1, (name, python)
    return {name: list(versions) for name, versions in found.items()}


def requirements(metadata):
    extras = metadata["extras_require"].values()
    return [
        Requirement(text) for group in (metadata["install_requires"], *extras) for text in group
    ]


def imports(path):
    """The top-level names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_the_version_is_the_packages_own(metadata):
    assert metadata["version"] == speechbrain_merit.__version__


def test_every_folder_and_file_of_the_package_is_installed(metadata, repo_root):
    package = repo_root / "speechbrain_merit"
    modules = package.rglob("*.py")
    folders = {".".join(path.parent.relative_to(repo_root).parts) for path in modules}
    models = "speechbrain_merit.pretrained"  # a folder of its own in the repository
    assert set(metadata["packages"]) == folders | {models}
    assert metadata["package_dir"] == {models: "pretrained"}
    files = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    listed = {
        repo_root.joinpath(*name.split("."), file)
        for name, names in metadata["package_data"].items()
        for file in names
        if name != models
    }
    assert files == listed
    template = importlib.resources.files("speechbrain_merit.evaluation.report") / "report.html.j2"
    assert "<html" in template.read_text(encoding="utf-8")


def test_the_models_that_ship_are_installed_whole(metadata, repo_root):
    patterns = metadata["package_data"]["speechbrain_merit.pretrained"]
    for model in (path.parent for path in repo_root.glob("pretrained/*/hyperparams.yaml")):
        listed = {path for pattern in patterns for path in model.parent.glob(pattern)}
        assert {path for path in model.iterdir() if path.is_file()} <= listed
        assert {"model.ckpt", "label_encoder.txt", "README.md"} <= {p.name for p in model.iterdir()}


def test_the_command_is_installed(metadata):
    ((name, target),) = (
        script.split(" = ") for script in metadata["entry_points"]["console_scripts"]
    )
    module, function = target.split(":")
    assert name == "merit" and callable(getattr(importlib.import_module(module), function))


def test_every_module_that_is_imported_is_required(metadata, repo_root):
    named_otherwise = {"sklearn": "scikit-learn", "yaml": "pyyaml", "ruamel": "ruamel.yaml"}
    imported_by_others = {"sentencepiece"}  # SpeechBrain
    required = {canonicalize_name(Requirement(r).name) for r in metadata["install_requires"]}
    extras = metadata["extras_require"].items()  # of those that users install, beside the tests'
    optional = {
        canonicalize_name(Requirement(text).name)
        for extra, group in extras
        if extra not in ("test", "dev")
        for text in group
    }
    roots = [repo_root / "speechbrain_merit", repo_root / "recipes"]
    sources = [path for root in roots for path in root.rglob("*.py")]
    own = {path.stem for path in sources} | {"speechbrain_merit"}
    sources += [repo_root / "train.py", repo_root / "evaluate.py"]
    imported = {name for path in sources for name in imports(path)} - own
    # whose file is read: importing it would set torch's number of threads
    third_party = imported - set(sys.stdlib_module_names) | {"silero-vad"}
    names = {canonicalize_name(named_otherwise.get(name, name)) for name in third_party}
    assert names - optional == required - imported_by_others - optional


@pytest.mark.parametrize("folder", ["benchmarks", "recipes", "pretrained"])
def test_scripts_import_names_that_are_there(repo_root, folder):
    for path in (repo_root / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("speechbrain_merit"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"  # a module is there before it is loaded
                    there = hasattr(module, alias.name) or importlib.util.find_spec(whole)
                    assert there, (str(path), whole)


def test_constraints_pin_every_requirement_within_its_bounds(metadata, pins):
    for requirement in requirements(metadata):
        for pin in pins[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(pin), (str(requirement), pin)


def test_torch_may_be_newer_than_torchaudio_whose_last_wheel_fits_it(metadata, pins):
    assert pins["torch"] == pins["torchaudio"]  # both of one release, where versions are pinned
    bounds = {Requirement(r).name: Requirement(r).specifier for r in metadata["install_requires"]}
    for version in ("2.10.0", "2.11.0", "2.12.0"):
        assert bounds["torchaudio"].contains(version) == (version == "2.11.0")
    for version, fits in (("2.10.0", False), ("2.11.0", True), ("2.14.1", True), ("2.15.0", False)):
        assert bounds["torch"].contains(version) == fits


def test_the_pythons_named_are_those_allowed(metadata):
    allowed = SpecifierSet(metadata["python_requires"])
    named = [c.rsplit(" ", 1)[1] for c in metadata["classifiers"] if " :: 3." in c]
    assert named == [f"3.{minor}" for minor in range(8, 16) if f"3.{minor}.1" in allowed]


def test_the_readme_shows_targets_that_exist(repo_root):
    makefile = (repo_root / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", makefile, flags=re.MULTILINE)
    readme = (repo_root / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", readme, flags=re.DOTALL))
    shown = re.findall(r"\bmake (\w+)", code)
    assert {"train", "test"} <= set(shown) <= set(targets)


def test_continuous_integration_does_what_the_readme_shows(repo_root):
    script = repo_root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line.strip() for line in script.read_text(encoding="utf-8").splitlines()]
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    *before, last = commands
    assert re.match(r"make .*\btest\b", last)
    assert all("chromium" in line for line in before)  # which the tests of the page need


def test_a_failed_installation_leaves_no_stamp(repo_root, tmp_path):
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    log = tmp_path / "log.txt"
    for name in ("pip", "python"):
        fake = bin_folder / name
        fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexit $(cat {tmp_path}/status)\n')
        fake.chmod(0o755)
    stamp = tmp_path / "venv" / ".installed-test"

    def make():
        command = ["make", str(stamp), f"VENV={tmp_path / 'venv'}"]
        subprocess.run(command, cwd=repo_root, capture_output=True, stdin=subprocess.DEVNULL)
        return stamp.exists()

    (tmp_path / "status").write_text("1")
    assert not make() and not (tmp_path / "venv" / ".installed").exists()
    (tmp_path / "status").write_text("0")
    assert make()
    installed = log.read_text()
    assert make() and log.read_text() == installed  # nothing has changed: nothing is installed
    past = stamp.stat().st_mtime - 10**9  # older than setup.py
    os.utime(stamp, (past, past))
    os.utime(stamp.with_name(".installed"), (past, past))
    assert make() and log.read_text() != installed


def test_no_file_names_a_machine_or_a_registry(repo_root):
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listing.stdout.splitlines():
        path = repo_root / name
        if path.is_file():
            found = NOT_FOR_THE_TREE.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, (name, found)
