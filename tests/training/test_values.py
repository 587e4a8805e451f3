"""Values of keys: what cannot be is named before anything is built."""

import pytest
import yaml

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.training.settings import plain_values
from speechbrain_merit.training.values import NUMBER_OR_NULL, RANGES, check_values

DEFAULTS = {
    "n": 8,
    "share": 0.5,
    "on": True,
    "name": "x",
    "labels": [],
    "folders": {},
    "free": None,
    "snrs": [-5, 5],
}


@pytest.mark.parametrize(
    "key, value",
    [("n", 3), ("share", 1), ("on", False), ("name", 7), ("labels", ["a"]), ("folders", {"a": 1}),
     ("free", [1]), ("free", None), ("unknown", 1)],
)  # fmt: skip
def test_what_fits_passes(key, value):
    check_values(DEFAULTS, {key: value})


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("n", "many", "a whole number"),
        ("n", 2.5, "a whole number"),
        ("n", True, "a whole number"),
        ("n", None, "a whole number"),
        ("share", [1], "a number"),
        ("on", 1, "True or False"),
        ("labels", "angry", "a list"),
        ("folders", "noise", "a mapping"),
        ("snrs", [0, "five"], "a list of numbers"),
        ("dropout", None, "a number"),
        ("crop_seconds", "long", "a number"),  # null in the YAML
        ("expert_hidden", [1, 2], "a number"),
    ],
)
def test_another_kind_is_named_with_what_the_key_takes(key, value, words):
    with pytest.raises(SettingsError, match=f"^{key} is .*takes {words}"):
        check_values(DEFAULTS, {key: value})


@pytest.mark.parametrize(
    "key, value",
    [
        ("seed", -1),
        ("seed", 2**32),
        ("batch_size", 0),
        ("clean_share", 1.5),
        ("dropout", float("nan")),
        ("n_experts", 20240105),  # 23 GB of router
        ("expert_hidden", 20240105),
    ],
)
def test_what_is_out_of_range_is_named_with_the_range(key, value):
    with pytest.raises(SettingsError, match=f"^{key} is .*takes numbers from"):
        check_values({}, {key: value})


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("fold", 1.0, "a whole number"),
        ("expert_rank", 2.5, "a whole number"),
        ("crop_seconds", 0, "numbers above 0"),
        ("max_batch_seconds", -1, "numbers above 0"),
        ("level_rms", 0, "numbers above 0"),
        ("speeds", [0.9, 0], "numbers above 0"),
        ("speeds", [], "one number or more"),
        ("speeds", [0.9, 1.005], "hundredths"),
        ("valid_snrs", [], "one number or more"),
        ("si_sdr_weight", float("nan"), "finite numbers"),
        ("emotion_weight", float("inf"), "finite numbers"),
        ("lr", -0.001, "numbers from 0 on"),
    ],
)
def test_what_no_training_can_do_is_named_before_it_begins(key, value, words):
    defaults = {"level_rms": 1.0, "speeds": [1.0], "valid_snrs": [-5, 5], "si_sdr_weight": 0.01}
    with pytest.raises(SettingsError, match=f"^{key} is .*takes {words}"):
        check_values(defaults, {key: value})


@pytest.mark.parametrize("value", [[5], [], [15, -5], [-5, 0, 5]])
def test_ends_that_are_no_pair_are_named(value):
    with pytest.raises(SettingsError, match="^train_snr_db is .*the lowest and the highest, as"):
        check_values({"train_snr_db": [-5, 15]}, {"train_snr_db": value})


def test_a_key_that_is_null_or_a_number_is_null_in_the_yaml(repo_root):
    defaults = plain_values(repo_root / "hparams" / "merit.yaml")
    assert {key: defaults[key] for key in NUMBER_OR_NULL} == dict.fromkeys(NUMBER_OR_NULL)
    check_values(defaults, {"crop_seconds": None, "expert_hidden": 8})


def test_every_range_is_of_a_key_that_a_system_has(repo_root):
    keys = {key for path in (repo_root / "hparams").glob("*.yaml") for key in plain_values(path)}
    assert set(RANGES) - keys <= {"valid_seed"}


def test_the_values_of_every_yaml_and_corpus_pass(repo_root):
    for path in (repo_root / "hparams").glob("*.yaml"):
        defaults = plain_values(path)
        check_values(defaults, {key: v for key, v in defaults.items() if v is not None})
        for corpus in (repo_root / "recipes").glob("*/corpus.yaml"):
            check_values(defaults, yaml.safe_load(corpus.read_text(encoding="utf-8")) or {})


@pytest.mark.parametrize("label", ["no_speech", "it's => sad"])
def test_a_label_that_says_something_else_already_is_named(label):
    with pytest.raises(SettingsError, match=f"labels: .*{label}.* cannot be one"):
        check_values(DEFAULTS, {"labels": ["happy", label]})
