"""Fixtures that all tests share."""

import importlib
import os
import sys
from pathlib import Path

# Before anything imports huggingface_hub: a test that needs the network is a broken test.
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402
import speechbrain  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from speechbrain.utils.importutils import LazyModule  # noqa: E402

from speechbrain_merit.data.synthetic import (  # noqa: E402
    prepare_minimerit,
    prepare_minimerit_noise,
)

# Hypothesis asks every module for its file, and SpeechBrain's redirects of old names answer by an
# import of what they point at, k2 among it: here they have an answer.
for module in list(sys.modules.values()):
    if isinstance(module, LazyModule):
        module.__file__ = speechbrain.__file__


FUZZ_CASES = 60  # of each fuzz test in a plain run: some seconds


def pytest_addoption(parser):
    """``--cases N``: how many cases are generated of each surface that is fuzzed."""
    parser.addoption("--cases", type=int, default=None, help="cases of each surface")


def pytest_configure(config):
    """A plain run generates the same few cases every time; a long one, new ones and many."""
    cases = config.getoption("--cases")
    # a failure is told as it came: to make it smaller can take minutes
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    shared = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": phases}
    settings.register_profile("plain", max_examples=FUZZ_CASES, derandomize=True, **shared)
    settings.register_profile("fuzz", max_examples=cases or 1, print_blob=True, **shared)
    settings.load_profile("fuzz" if cases else "plain")


def _load_recipe(name):
    folder = str(ROOT / "recipes" / name)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(f"{name.lower().replace('-', '_')}_prepare")


@pytest.fixture(scope="session")
def load_recipe():
    """Gives the prepare module of a recipe by the name of its folder."""
    return _load_recipe


@pytest.fixture(scope="session")
def repo_root():
    """The folder of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """Real speech and noise beside the checkout, where there is any."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def minimerit(tmp_path_factory):
    """A folder with MiniMERIT: speech/, noise/ and save/{train,valid,test}.json. Read only."""
    folder = tmp_path_factory.mktemp("minimerit")
    labels = ["angry", "sad", "happy", "neutral"]
    manifests = [folder / "save" / f"{split}.json" for split in ("train", "valid", "test")]
    prepare_minimerit(folder / "speech", *manifests, labels)
    prepare_minimerit_noise(folder / "noise")
    return folder
