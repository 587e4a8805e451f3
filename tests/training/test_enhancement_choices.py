"""Choices of the enhancement side in a YAML: from the command line to the exported folder."""

import pytest

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.dual_path import DualPathHead
from speechbrain_merit.training import run as recipe
from tests.training.test_run import arguments, at_root, corpus  # noqa: F401 (fixtures)


def test_a_run_trains_scores_and_exports_the_convolutional_head(corpus, tmp_path):  # noqa: F811
    more = ["--enhancement_head_type", "dual_path", "--enhancement_channels", "[4, 4, 8]"]
    more += ["--compressed_weight", "0.1", "--number_of_epochs", "1"]
    recipe.run(arguments(corpus, tmp_path / "run", *more, system="se_only"))
    (epoch,) = read_curves(tmp_path / "run" / "train_log.txt")
    assert epoch["train compressed"] > 0
    assert "train multi_resolution" not in epoch  # of weight 0: not computed
    merit = MeritInterface.from_hparams(tmp_path / "run" / "pretrained")
    head = merit.model.enhancement
    assert type(head) is DualPathHead
    assert head.config == {"width": 96, "channels": [4, 4, 8], "n_blocks": 2}


def test_a_head_that_is_not_there_is_named_before_training(corpus, tmp_path):  # noqa: F811
    more = ["--enhancement_head_type", "unet"]
    with pytest.raises(SettingsError, match="'unet': it takes blstm or dual_path"):
        recipe.run(arguments(corpus, tmp_path / "run", *more, system="se_only"))
