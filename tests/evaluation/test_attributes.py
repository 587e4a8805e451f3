"""Attributes: concordance, its loss, and a run that learns arousal beside or without classes."""

import json

import numpy as np
import pytest
import soundfile as sf
import torch
from scipy.stats import pearsonr

from speechbrain_merit.errors import MeritError
from speechbrain_merit.evaluation.attributes import attribute_scores, concordance
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training.losses import attribute_loss
from tests.training.test_run import LABELS, RATE, arguments, corpus  # noqa: F401 (a fixture)


def test_concordance_is_the_correlation_less_what_scale_and_level_cost():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    predicted = truth + rng.normal(size=200)
    bias = pearsonr(truth, predicted).statistic
    ratio = predicted.std() / truth.std()
    shift = (predicted.mean() - truth.mean()) / np.sqrt(predicted.std() * truth.std())
    expected = bias * 2 / (ratio + 1 / ratio + shift**2)  # Lin's second form
    assert concordance(truth, predicted) == pytest.approx(expected)
    assert concordance(truth, truth) == pytest.approx(1)
    assert concordance(truth, -truth + 2 * truth.mean()) == pytest.approx(-1)
    assert concordance(truth, truth + 3) < 0.3


def test_what_nobody_rated_does_not_count():
    truth = np.array([[0.1, np.nan], [0.7, np.nan], [np.nan, 0.5]])
    predicted = np.array([[0.2, 0.0], [0.6, 1.0], [9.0, 0.5]])
    scores = attribute_scores(truth, predicted, ["arousal", "valence"])
    alone = concordance(truth[:2, 0], predicted[:2, 0])
    assert scores == {"ccc": alone, "ccc_by_attribute": {"arousal": alone, "valence": None}}


def test_the_loss_is_one_minus_the_score_and_ignores_what_is_not_rated():
    torch.manual_seed(0)
    target, predicted = torch.rand(20, 2), torch.rand(20, 2, requires_grad=True)
    target[::3, 1] = float("nan")
    scores = attribute_scores(target.numpy(), predicted.detach().numpy(), ["a", "b"])
    loss = attribute_loss(predicted, target)
    assert float(loss) == pytest.approx(1 - scores["ccc"], abs=1e-6)
    loss.backward()
    assert bool((predicted.grad[::3, 1] == 0).all())
    assert bool(torch.isfinite(predicted.grad).all())
    assert float(predicted.grad.abs().sum()) > 0


@pytest.mark.parametrize("target", [torch.full((4, 2), float("nan")), torch.full((4, 2), 0.5)])
def test_a_batch_that_says_nothing_gives_a_finite_gradient(target):
    predicted = torch.full((4, 2), 0.5, requires_grad=True)
    attribute_loss(predicted, target).backward()
    assert bool(torch.isfinite(predicted.grad).all())


@pytest.fixture(scope="module")
def rated(corpus):  # noqa: F811
    """The small corpus with arousal, which is how loud and high a tone is; two are not rated."""
    prepare = corpus / "My-Corpus" / "my_corpus_prepare.py"
    text = prepare.read_text()
    line = '                "spk_id": split,\n'
    assert line in text
    prepare.write_text(
        text.replace(
            line,
            line + '                "arousal": None if path.stem.endswith("happy_1") else '
            '0.25 * ["angry", "sad", "happy", "neutral"].index(path.stem.split("_")[1]),\n',
        )
    )
    rng = np.random.default_rng(1)
    for split in ("valid", "test"):  # concordance wants a few
        for index, label in enumerate(LABELS):
            time = np.arange(int(RATE * 0.6)) / RATE
            wave = 0.1 * np.sin(2 * np.pi * (150 + 80 * index) * time)
            wave += 0.003 * rng.standard_normal(len(time))
            sf.write(corpus / "speech" / f"{split}_{label}_1.wav", wave, RATE)
    return corpus


@pytest.mark.parametrize("labels", [None, "[]"])
def test_a_run_scores_attributes_beside_the_classes_and_without_them(rated, labels, tmp_path):
    more = ["--attributes", "[arousal]", *([] if labels is None else ["--labels", labels])]
    recipe.run(arguments(rated, tmp_path / "run", *more))
    evaluation = tmp_path / "run" / "evaluation"
    rows = json.loads((evaluation / "metrics.json").read_text())
    assert len(rows) == 2
    for row in rows:
        assert -1 <= row["ccc"] <= 1 and row["ccc_by_attribute"] == {"arousal": row["ccc"]}
        assert (row["f1_macro"] is None) == (labels == "[]")
        assert row["si_sdr"] is not None
    assert "CCC" in (evaluation / "metrics.md").read_text()
    assert "ccc_arousal" in (evaluation / "metrics.csv").read_text()
    assert (evaluation / "report.html").is_file()
    log = (tmp_path / "run" / "train_log.txt").read_text()
    assert "valid ccc" in log and "attribute" in log
    assert ("f1_macro" in log) == (labels is None)


def test_an_attribute_that_no_utterance_has_is_an_error(rated, tmp_path):
    with pytest.raises(MeritError, match="valence.*leave it out"):
        recipe.run(arguments(rated, tmp_path / "run", "--attributes", "[arousal, valence]"))
