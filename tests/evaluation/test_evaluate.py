"""The road of scoring on a network of a few weights: interrupts, examples, and what it keeps."""

import json
import lzma
import math
import shutil
import weakref

import numpy as np
import pytest
import torch
from tiny import tiny_merit

from speechbrain_merit.data.mixing import Mixture, mix
from speechbrain_merit.data.pipeline import fixed_set
from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.evaluation import run
from speechbrain_merit.evaluation.predictions import PREDICTIONS, read_predictions
from speechbrain_merit.evaluation.provenance import summary
from speechbrain_merit.evaluation.report import page
from speechbrain_merit.evaluation.run import Output, evaluate, report, scored
from speechbrain_merit.labels import label_encoder

LABELS = ["angry", "sad", "happy", "neutral"]
N, BATCH = 5, 2  # utterances under two conditions; 10 rows in 5 batches
TABLES = ("metrics.json", "metrics.csv", "metrics.md", "report.html")


@pytest.fixture(scope="module", autouse=True)
def coarse_figures():
    """Draws coarsely: no test looks at a pixel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "DPI", 30)
        yield


def mixer(utterance, wav, noise_set, snr_db):
    """Half a second of speech made of numbers, a little longer each, in noise."""
    rng = np.random.default_rng(int(utterance))
    clean = torch.tensor(0.1 * rng.standard_normal(8000 + 400 * int(utterance))).float()
    if noise_set is None:
        return Mixture(clean, clean, 0.0, float("inf"))
    noise = torch.tensor(rng.standard_normal(16000)).float()
    return mix(clean, noise, snr_db, rng)


def a_test_set():
    entries = {
        str(index): {
            "wav": "",
            "duration": 0.5 + 0.025 * index,
            "emo": LABELS[index % 4],
            "spk_id": f"speaker{index % 2}",
        }
        for index in range(N)
    }
    conditions = [(None, None), ("street", -5)]
    return fixed_set(entries, label_encoder(LABELS), mixer, conditions)


def a_model():
    torch.manual_seed(0)
    return tiny_merit()


def some_hparams(folder, **changes):
    known = {
        "output_folder": str(folder),
        "train_log": str(folder / "train_log.txt"),
        "labels": LABELS,
        "attributes": [],
        "test_batch_size": BATCH,
        "num_workers": 0,
        "n_jobs": 0,
        "n_examples": 2,
        "test_seed": 0,
        "test_band_limit": False,
        "data_folder": "speech",
        "noise_test_folders": {"street": "street"},
        "noise_folder": "noise",
        "system": "merit",
        "corpus": "Tiny",
        "encoder": "mini",
        "seed": 1,
        "number_of_epochs": 1,
    }
    return {**known, **changes}


def scores_of(folder, model=None, **changes):
    hparams = some_hparams(folder, **changes)
    return evaluate(model or a_model(), a_test_set(), hparams, "cpu", "CKPT+1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an evaluation without interrupt."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "train_log.txt").write_text("epoch: 1 - train loss: 2.5 - valid f1_macro: 0.5\n")
    scores_of(folder)
    return folder


def contents(folder):
    """The bytes of every file of an evaluation."""
    files = (folder / "evaluation").rglob("*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


def test_a_row_says_all_of_an_utterance_under_a_condition(whole):
    header, rows = read_predictions(whole / "evaluation" / PREDICTIONS)
    rows = list(rows)
    assert header["labels"] == LABELS and header["tasks"] == ["se", "ser"]
    assert header["checkpoint"] == "CKPT+1" and header["rows"] == 10
    assert header["settings"]["noise_sets"] == ["street"] and header["settings"]["test_snrs"] == [
        -5
    ]
    assert [row["utterance"] for row in rows[:5]] == ["4", "3", "2", "1", "0"]  # longest first
    row = rows[6]
    assert (row["id"], row["utterance"], row["speaker"]) == ("3|street|-5", "3", "speaker1")
    assert (row["label"], row["noise_set"], row["snr_db"]) == ("neutral", "street", -5)
    assert row["measured_snr_db"] == pytest.approx(-5, abs=1e-3)
    assert row["scores"]["si_sdr_noisy"] == pytest.approx(-5, abs=0.5)
    assert row["corpus"] is None and row["attributes"] is None
    assert all(sum(shares) == pytest.approx(1, abs=1e-5) for shares in row["experts"].values())
    assert rows[0]["measured_snr_db"] is None and rows[0]["snr_db"] is None


def test_a_row_holds_what_the_model_says_alone(whole):
    model, test_set = a_model(), a_test_set()
    rows = list(read_predictions(whole / "evaluation" / PREDICTIONS)[1])
    for row in (rows[0], rows[6]):
        mixture = next(item for item in test_set if item["id"] == row["id"])["mixture"]
        with torch.no_grad():
            output = model(mixture[None])
        expected = output.logits[0].softmax(dim=-1).tolist()
        assert row["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert row["frames"] == int(output.frames.sum())
        for task, routing in output.routing.items():
            counts = np.bincount(routing.experts.flatten(), minlength=3)
            assert row["experts"][task] == pytest.approx(counts / row["frames"], abs=1e-5)


@pytest.mark.parametrize("batches", [0, 3])
def test_an_interrupted_evaluation_goes_on_and_ends_the_same_to_the_byte(
    whole, tmp_path, monkeypatch, batches
):
    shutil.copy(whole / "train_log.txt", tmp_path)
    original, done = run.score_utterances, []

    def interrupted(items, *args, **kwargs):
        for scores in original(items, *args, **kwargs):
            if len(done) == BATCH * batches + 1:  # in the middle of a batch
                raise KeyboardInterrupt
            done.append(1)
            yield scores

    with monkeypatch.context() as patch:
        patch.setattr(run, "score_utterances", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scores_of(tmp_path)
    file = tmp_path / "evaluation" / PREDICTIONS
    assert file.read_bytes().count(b"\n") == 1 + BATCH * batches + 1
    with pytest.raises(PredictionsError, match=f"half-written: {len(done)} of 10 rows"):
        report(tmp_path / "evaluation", "")
    with file.open("ab") as cut:
        cut.write(b'{"index": 7, "id": "cut')
    model, heard = a_model(), []
    model.register_forward_hook(lambda module, given, output: heard.append(len(given[0])))
    scores_of(tmp_path, model)
    assert len(heard) == 5 - batches  # what is there is not computed again
    assert contents(tmp_path) == contents(whole)


def test_other_weights_or_settings_are_scored_anew(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "evaluation" / PREDICTIONS
    lines = file.read_bytes().splitlines(keepends=True)

    def cut():
        file.write_bytes(b"".join(lines[:9]))

    other = a_model()
    with torch.no_grad():
        other.emotion.out.bias[1] += 50
    for model, changes in ((other, {}), (None, {"test_seed": 3})):
        cut()
        (tmp_path / "evaluation" / "examples" / "0000009.npz").write_bytes(b"old")
        scores_of(tmp_path, model, **changes)
        header, rows = read_predictions(file)
        chosen = {int(np.argmax(row["probabilities"])) for row in rows}
        assert (chosen == {1}) == (model is other)  # no row is of the other weights
        assert header != json.loads(lines[0])


def test_a_complete_evaluation_is_scored_anew_when_it_is_asked_for(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    model, heard = a_model(), []
    model.register_forward_hook(lambda *_: heard.append(1))
    scores_of(tmp_path, model)
    assert len(heard) == 5 and contents(tmp_path) == contents(whole)


def test_the_report_is_made_of_predictions_and_examples_alone(whole, tmp_path):
    (tmp_path / "evaluation").mkdir()
    shutil.copy(whole / "train_log.txt", tmp_path)
    shutil.copy(whole / "evaluation" / PREDICTIONS, tmp_path / "evaluation")
    shutil.copytree(whole / "evaluation" / "examples", tmp_path / "evaluation" / "examples")
    rows = report(tmp_path / "evaluation", tmp_path / "train_log.txt")
    assert contents(tmp_path) == contents(whole)
    assert [row["n"] for row in rows] == [5, 5]


def test_compressed_predictions_without_examples_make_the_same_tables(whole, tmp_path):
    data = (whole / "evaluation" / PREDICTIONS).read_bytes()
    (tmp_path / f"{PREDICTIONS}.xz").write_bytes(lzma.compress(data))
    report(tmp_path, tmp_path / "no_log.txt")
    for name in TABLES[:3]:
        assert (tmp_path / name).read_bytes() == (whole / "evaluation" / name).read_bytes()
    assert "<audio" not in (tmp_path / "report.html").read_text()


def test_an_example_that_cannot_be_read_is_named(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    path = min((tmp_path / "evaluation" / "examples").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PredictionsError, match=f"{path.name} cannot be read.*delete it"):
        report(tmp_path / "evaluation", "")


def test_examples_alone_keep_their_waves_and_paths(whole):
    files = sorted((whole / "evaluation" / "examples").iterdir())
    assert len(files) == 2
    rows = list(read_predictions(whole / "evaluation" / PREDICTIONS)[1])
    for path in files:
        row = rows[int(path.stem)]
        assert row["noise_set"] == "street"
        with np.load(path) as arrays:
            noisy, clean = arrays["noisy"], arrays["clean"]
            assert len(arrays["experts_se"]) == len(arrays["experts_ser"]) == row["frames"]
        assert noisy.dtype == np.float32 and len(noisy) == 8000 + 400 * int(row["utterance"])
        noise = noisy.astype(float) - clean
        snr = 10 * math.log10(np.square(clean, dtype=float).sum() / np.square(noise).sum())
        assert snr == pytest.approx(row["measured_snr_db"], abs=1e-3)


def test_two_batches_make_a_report_in_a_debugging_run(tmp_path):
    hparams = some_hparams(tmp_path, n_jobs=-1)
    rows = evaluate(a_model(), a_test_set(), hparams, "cpu", max_batches=2)
    assert [(row["noise_set"], row["n"]) for row in rows] == [(None, 4)]
    assert (tmp_path / "evaluation" / "report.html").is_file()
    rows = evaluate(a_model(), a_test_set(), hparams, "cpu")  # the whole set is another one
    assert [row["n"] for row in rows] == [5, 5]


class Wave(np.ndarray):
    """An array that a weak reference can watch."""


@pytest.mark.parametrize("enhances", [True, False])
def test_no_wave_outlives_its_scoring(enhances):
    watched, alive = [], []

    def outputs():
        for index in range(200):
            noisy, clean = np.random.default_rng(index).normal(size=(2, 1600)).view(Wave)
            watched.append(weakref.ref(noisy))
            alive.append(sum(wave() is not None for wave in watched))
            waves = {"noisy": noisy, "enhanced": noisy + clean, "clean": clean}
            yield Output({"id": str(index)}, waves, {})

    for index, row in enumerate(scored(outputs(), enhances, n_jobs=0, total=200)):
        assert row["id"] == str(index) and ("scores" in row) == enhances
    assert len(alive) == 200 and max(alive) <= 3


def test_a_corpus_from_elsewhere_has_its_name_in_the_report_and_not_its_path():
    hparams = {"system": "merit", "corpus": "/some/where/Calls,nEMO", "encoder": "mini", "seed": 1}
    hparams |= {"number_of_epochs": 1, "test_seed": 0}
    assert summary(hparams, tiny_merit())["corpus"] == "Calls,nEMO"
