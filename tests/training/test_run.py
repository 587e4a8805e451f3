"""The road of a run, end to end, on a corpus of a few utterances outside the repository."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.utils.run_opts import RunOptions

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.datasets import datasets, prepare
from speechbrain_merit.errors import MeritError
from speechbrain_merit.evaluation.emotion import calibration_error
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.training import run as recipe
from speechbrain_merit.training import scoring
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.run import accumulation
from speechbrain_merit.training.settings import load, parse

SINGLE = {"ser_only": "ser", "ser_weighted_sum": "ser", "se_only": "se", "se_weighted_sum": "se"}
SYSTEMS = ["merit", "dense_merit", "weighted_sum", *SINGLE]
LABELS = ["angry", "sad", "happy", "neutral"]
RATE = 16000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus folder outside the repository, its recordings and noises: ``--corpus PATH``."""
    root = tmp_path_factory.mktemp("outside")
    folder = root / "My-Corpus"
    folder.mkdir()
    (folder / "corpus.yaml").write_text(
        "number_of_epochs: 2\nbatch_size: 4\nlicence: CC BY 4.0\nlanguage: da\n"
    )
    (folder / "my_corpus_prepare.py").write_text(
        """
import json
from pathlib import Path

import soundfile as sf


def prepare_my_corpus(
    data_folder, save_json_train, save_json_valid, save_json_test, labels, skip_prep=False
):
    for split, manifest in zip(
        ("train", "valid", "test"), (save_json_train, save_json_valid, save_json_test)
    ):
        rows = {
            path.stem: {
                "wav": "{data_root}/" + path.name,
                "duration": sf.info(path).duration,
                "emo": path.stem.split("_")[1],
                "spk_id": split,
            }
            for path in sorted(Path(data_folder).glob(f"{split}_*.wav"))
        }
        Path(manifest).parent.mkdir(parents=True, exist_ok=True)
        Path(manifest).write_text(json.dumps(rows))
"""
    )
    rng = np.random.default_rng(0)
    (root / "speech").mkdir()
    for split, takes in (("train", 2), ("valid", 1), ("test", 1)):
        for index, label in enumerate(LABELS):
            for take in range(takes):
                time = np.arange(int(RATE * rng.uniform(0.5, 0.9))) / RATE
                wave = 0.1 * np.sin(2 * np.pi * (150 + 80 * index) * time)
                wave += 0.003 * rng.standard_normal(len(time))
                sf.write(root / "speech" / f"{split}_{label}_{take}.wav", wave, RATE)
    for name in ("train", "valid", "street"):
        (root / "noise" / name).mkdir(parents=True)
        sf.write(root / "noise" / name / "a.wav", 0.1 * rng.standard_normal(RATE), RATE)
    return root


def arguments(corpus, output, *more, system="merit"):
    """A command line for the small corpus."""
    return [
        f"hparams/{system}.yaml",
        *("--corpus", str(corpus / "My-Corpus")),
        *("--data_folder", str(corpus / "speech")),
        *("--noise_train_folder", str(corpus / "noise" / "train")),
        *("--noise_valid_folder", str(corpus / "noise" / "valid")),
        *("--noise_test_folders", f"{{street: {corpus / 'noise' / 'street'}}}"),
        *("--output_folder", str(output)),
        *("--n_jobs", "0", "--n_examples", "1", "--test_snrs", "[0]", "--device", "cpu"),
        *more,
    ]


@pytest.fixture(autouse=True)
def at_root(repo_root, monkeypatch):
    """YAML paths on the command line are relative to the repository."""
    monkeypatch.chdir(repo_root)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """The folder of one finished run of Sparse MERIT."""
    output = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(RECIPES.parent)
        recipe.run(arguments(corpus, output), script="train.py")
    return output


def final_weights(output):
    """The weights of the last checkpoint."""
    last = max((output / "save").glob("CKPT*/model.ckpt"), key=lambda path: path.stat().st_mtime)
    return torch.load(last, weights_only=True)


def systems_and_corpora():
    """Every system with every corpus of the repository."""
    corpora = sorted(path.parent.name for path in RECIPES.glob("*/corpus.yaml"))
    return [(system, corpus) for system in SYSTEMS for corpus in corpora]


@pytest.mark.parametrize("system, name", systems_and_corpora())
def test_every_system_loads_with_every_corpus(system, name, tmp_path):
    hparams_file, _, overrides = parse(
        [
            *(f"hparams/{system}.yaml", "--corpus", name, "--output_folder", str(tmp_path / "run")),
            *("--encoder", "mini"),  # a corpus may name one that has to be downloaded
            *("--data_folder", "somewhere"),
        ]
    )
    hparams = load(hparams_file, overrides)
    assert hparams["system"] == system and hparams["corpus"] == name
    wanted = (SINGLE[system],) if system in SINGLE else ("se", "ser")
    assert hparams["model"].tasks == wanted
    logits = hparams["model"].eval()(torch.randn(1, 8000)).logits
    assert logits is None or logits.shape == (1, len(hparams["labels"]))


@pytest.mark.parametrize("system", [*SYSTEMS, "cascade"])
def test_every_key_of_a_system_is_used(system, repo_root):
    text = (repo_root / "hparams" / f"{system}.yaml").read_text()
    keys = [key.value for key, _ in yaml.compose(text).value]
    code = "".join(path.read_text() for path in (repo_root / "speechbrain_merit").rglob("*.py"))
    # read by name in MeritBrain: weight, init_optimizers, anneal
    elsewhere = {k for k in keys if k.endswith(("_weight", "opt_class", "lr_annealing"))}
    elsewhere |= {field.name for field in dataclasses.fields(RunOptions)}  # read by sb.Brain
    unused = [
        key
        for key in keys
        if f"<{key}>" not in text
        and f"<{key}." not in text
        and f'"{key}"' not in code
        and f"hparams.{key}" not in code
        and key not in elsewhere | {"__set_seed"}
    ]
    assert unused == []


def test_a_run_ends_with_scores_for_every_condition(trained):
    def refuse(constant):
        raise AssertionError(f"{constant} is no strict JSON")

    text = (trained / "evaluation" / "metrics.json").read_text()
    rows = json.loads(text, parse_constant=refuse)
    assert [(row["noise_set"], row["snr_db"], row["n"]) for row in rows] == [
        (None, None, 4),
        ("street", 0, 4),
    ]
    clean, noisy = rows
    assert clean["si_sdr_noisy"] is None  # clean speech against itself is infinite
    assert noisy["si_sdr_noisy"] == pytest.approx(0, abs=0.1)  # the SNR that was asked for
    assert 0 <= noisy["f1_macro"] <= 1
    assert np.sum(noisy["confusion"]) == 4 and set(noisy["recall"]) == set(LABELS)
    report = (trained / "evaluation" / "report.html").read_text()
    assert "<audio" in report and "data:audio/" in report


def test_the_results_hold_the_script_the_yaml_and_the_labels(trained, repo_root):
    assert (trained / "train.py").read_bytes() == (repo_root / "train.py").read_bytes()
    assert {path.name for path in trained.glob("*.py")} == {"train.py"}
    assert "routing: straight_through" in (trained / "hyperparams.yaml").read_text()
    encoder = CategoricalEncoder()
    encoder.load(trained / "save" / "label_encoder.txt")
    assert [encoder.ind2lab[index] for index in range(4)] == LABELS


def test_a_trial_takes_two_batches_of_everything(corpus, tmp_path, monkeypatch):
    heard = []
    hear = Merit.hear

    def counted(model, wavs, lengths=None):
        heard.append(len(wavs))
        return hear(model, wavs, lengths)

    monkeypatch.setattr(Merit, "hear", counted)
    more = ["--debug", "--skip_test", "True", "--batch_size", "3", "--test_batch_size", "1"]
    recipe.run(arguments(corpus, tmp_path, *more))
    epoch = [3, 3, 1, 1]
    # standardising, training, calibration for the scores, and for what is exported
    assert heard == [1, 1, *epoch, *epoch, 1, 1, 1, 1]
    assert (tmp_path / "pretrained" / "model.ckpt").is_file()


@pytest.mark.parametrize("system", SYSTEMS)
def test_several_processes_may_leave_weights_without_a_gradient(system, tmp_path, monkeypatch):
    hparams = load(*parse([f"hparams/{system}.yaml", "--output_folder", str(tmp_path)])[::2])
    brain = MeritBrain(hparams["modules"], hparams=hparams, run_opts={"device": "cpu"})
    wrapped = []

    def wrap(module, **options):
        wrapped.append(options["find_unused_parameters"])
        return module

    monkeypatch.setattr("speechbrain.core.DDP", wrap)
    brain.distributed_launch = True
    brain._wrap_distributed()
    assert wrapped == [True]


def test_the_training_log_holds_losses_metrics_and_routing(trained):
    curves = read_curves(trained / "train_log.txt")
    assert [epoch["epoch"] for epoch in curves] == [1, 2]
    last = curves[-1]
    for task in ("se", "ser"):
        use = [last[f"valid {task} use {expert}"] for expert in range(3)]
        assert sum(use) == pytest.approx(1, abs=1e-3)
        assert 0 < last[f"valid {task} entropy"] <= np.log(3) + 1e-3
    assert 0 <= last["valid agreement"] <= 1
    terms = 1.0 * last["valid emotion"] + 0.2 * last["valid enhancement"]
    terms += 0.01 * last["valid si_sdr"]
    terms += 0.01 * (last["valid se balance"] + last["valid ser balance"])
    terms += 0.001 * (last["valid se z"] + last["valid ser z"])
    assert last["valid loss"] == pytest.approx(terms, abs=2e-3)
    score = last["valid f1_macro"] + 0.02 * last["valid si_sdr_gain"]
    assert last["valid score"] == pytest.approx(score, abs=1e-3)


def test_scores_are_of_the_temperature_that_is_exported(trained, corpus):
    kept = json.loads((trained / "save" / "temperature.json").read_text())
    exported = MeritInterface.from_hparams(trained / "pretrained")
    assert exported.hparams.temperature == kept["temperature"] != 1
    rows = json.loads((trained / "evaluation" / "metrics.json").read_text())
    paths = sorted((corpus / "speech").glob("test_*.wav"))
    truth = [LABELS.index(path.stem.split("_")[1]) for path in paths]
    waves = [torch.from_numpy(sf.read(path, dtype="float32")[0]) for path in paths]
    heard = torch.cat([exported.classify_batch(wave[None])[0] for wave in waves])
    assert rows[0]["ece"] == pytest.approx(calibration_error(truth, heard), abs=1e-3)


def test_scoring_again_gives_the_same_numbers(trained):
    first = json.loads((trained / "evaluation" / "metrics.json").read_text())
    scoring.score([str(trained)])
    again = json.loads((trained / "evaluation" / "metrics.json").read_text())
    assert again == first


def test_the_report_is_made_again_when_all_but_the_predictions_is_gone(
    trained, tmp_path, monkeypatch
):
    left = tmp_path / "left"
    left.mkdir()
    shutil.copytree(trained / "evaluation", left / "evaluation")
    shutil.copy(trained / "train_log.txt", left)
    files = [path for path in (left / "evaluation").rglob("*") if path.is_file()]
    made = {path: path.read_bytes() for path in files if path.suffix not in (".jsonl", ".npz")}
    for path in made:
        path.unlink()

    def refuse(*_):
        raise AssertionError("the YAML was loaded")

    monkeypatch.setattr(scoring, "load_finished", refuse)
    rows = scoring.score([str(left), "--from_predictions", "True"])
    assert {path: path.read_bytes() for path in made} == made
    assert {path.name for path in made} >= {"metrics.json", "metrics.md", "metrics.csv"}
    assert [row["snr_db"] for row in rows] == [None, 0]


@pytest.mark.parametrize(
    "more, message",
    [
        (["--from_predictions"], "needs True or False"),
        (["--from_predictions", "maybe"], "is maybe: give True or False"),
        (["--from_predictions=True", "--test_snrs", "[5]"], "no other option"),
        (["--from_predictions=True"], "holds no predictions.jsonl: score the run first"),
        (["--from_predictions", "False"], "holds no hyperparams.yaml"),
    ],
)
def test_what_cannot_be_made_of_predictions_is_named(tmp_path, more, message):
    with pytest.raises(MeritError, match=message):
        scoring.score([str(tmp_path), *more])


def test_a_debugging_run_scores_two_batches(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    rows = scoring.score([str(copy), "--debug", "--test_batch_size", "1"])
    assert [(row["snr_db"], row["n"]) for row in rows] == [(None, 2)]
    assert (copy / "evaluation" / "report.html").is_file()


def test_a_run_is_scored_quickly_without_pesq_and_stoi(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "run")
    whole = scoring.score([str(trained), "--from_predictions", "True"])
    rows = scoring.score(["--quick", "True", str(copy), "--device", "cpu"])
    assert [row["pesq"] for row in rows] == [row["stoi"] for row in rows] == [None] * len(rows)
    assert [row["pesq_failed"] for row in rows] == [0] * len(rows)
    for quick, full in zip(rows, whole, strict=True):
        assert quick["f1_macro"] == full["f1_macro"] and full["pesq"] is not None
        assert quick["si_sdr"] == pytest.approx(full["si_sdr"], abs=1e-3)
    with pytest.raises(MeritError, match="--quick is maybe"):
        scoring.score([str(copy), "--quick", "maybe"])


def test_scoring_works_where_the_run_was_moved(trained, tmp_path, corpus):
    moved = shutil.copytree(trained, tmp_path / "moved")
    rows = scoring.score([str(moved), "--test_snrs", "[5, 20]"])
    assert [row["snr_db"] for row in rows] == [None, 5, 20]
    (moved / "save" / "temperature.json").unlink()  # of a run that kept none it is fitted again
    clean = scoring.score([str(moved), "--test_snrs", "[5]"])[0]
    assert clean["ece"] == pytest.approx(rows[0]["ece"], abs=1e-4)
    assert rows[1]["si_sdr_noisy"] == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("system", ["weighted_sum", "ser_only", "se_only"])
def test_other_systems_run_through_the_same_code(system, corpus, tmp_path):
    recipe.run(arguments(corpus, tmp_path, "--number_of_epochs", "1", system=system))
    rows = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert (rows[1]["f1_macro"] is None) == (system == "se_only")
    assert (rows[1]["pesq_noisy"] is None) == (system == "ser_only")
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 10_000


def test_a_resumed_run_equals_an_uninterrupted_one(trained, corpus, tmp_path, monkeypatch):
    start = MeritBrain.on_stage_start

    def interrupt(brain, stage, epoch=None):
        if epoch == 2 and stage.name == "TRAIN":
            raise KeyboardInterrupt
        start(brain, stage, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(MeritBrain, "on_stage_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            recipe.run(arguments(corpus, tmp_path / "run"))
    recipe.run(arguments(corpus, tmp_path / "run"))
    assert [e["epoch"] for e in read_curves(tmp_path / "run" / "train_log.txt")] == [1, 2]
    resumed, whole = (
        read_curves(folder / "train_log.txt")[-1] for folder in (tmp_path / "run", trained)
    )
    assert resumed == whole
    weights, expected = final_weights(tmp_path / "run"), final_weights(trained)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_the_same_folder_with_another_yaml_is_refused(trained, corpus):
    with pytest.raises(MeritError, match=r"other values of.* dropout"):
        recipe.run(arguments(corpus, trained, "--dropout", "0.1"))
    # how the run works, not what it computes, may change
    recipe.run(arguments(corpus, trained, "--skip_test", "True"))


def test_stage_one_keeps_the_encoder_and_stage_two_trains_it(corpus, tmp_path):
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16
    )
    torch.manual_seed(0)
    WhisperEncoder(config).save_pretrained(tmp_path / "encoder")
    given = load(*_parsed(corpus, tmp_path / "x", tmp_path / "encoder"))["model"].encoder
    given = {f"encoder.{name}": value for name, value in given.state_dict().items()}
    runs = {}
    for unfreeze in (2, 9):
        output = tmp_path / f"unfreeze{unfreeze}"
        more = ["--encoder", str(tmp_path / "encoder"), "--unfreeze_epoch", str(unfreeze)]
        recipe.run(arguments(corpus, output, *more, "--skip_test", "True"))
        runs[unfreeze] = final_weights(output)
    changed = {
        unfreeze: {name for name in given if not torch.equal(weights[name], given[name])}
        for unfreeze, weights in runs.items()
    }
    assert changed[9] == set()
    assert any("layers.0" in name for name in changed[2])
    assert not any("conv" in name or "positions" in name for name in changed[2])


def _parsed(corpus, output, encoder):
    hparams_file, _, overrides = parse(arguments(corpus, output, "--encoder", str(encoder)))
    return hparams_file, overrides


def test_precedence_command_line_over_corpus_over_system(corpus, tmp_path):
    _, _, overrides = parse(arguments(corpus, tmp_path))
    assert (overrides["number_of_epochs"], overrides["batch_size"]) == (2, 4)
    _, _, overrides = parse(arguments(corpus, tmp_path, "--batch_size", "3"))
    assert (overrides["number_of_epochs"], overrides["batch_size"]) == (2, 3)


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--corpus", "Nowhere"], r"--corpus Nowhere.*RAVDESS"),
        (["--corpus"], "--corpus needs"),
        (["--lable_smoothing", "0.2"], "no key lable_smoothing; did you mean label_smoothing"),
        (["--routing", "a=b"], "must not hold '='"),
        (["--encoder", "no/such-encoder"], "encoder: cannot load 'no/such-encoder'"),
        (["--routing", "psychic"], "Unknown routing 'psychic'"),
        (["--train_logger", "paper"], "train_logger is 'paper'"),
        (["--noise_train_folder", "."], "noise_valid_folder is empty"),
        (["--data_folder", "no/such/folder", "--corpus", "RAVDESS"], "no/such/folder"),
    ],
)
def test_a_mistake_is_named_before_training(extra, message, tmp_path):
    base = ["hparams/merit.yaml"]
    if "--output_folder" not in extra:
        base += ["--output_folder", str(tmp_path / "run")]
    with pytest.raises(MeritError, match=message):
        recipe.run([*base, *extra])


def test_missing_yaml_and_missing_run_are_named(tmp_path):
    with pytest.raises(MeritError, match="no file hparams/nothing.yaml"):
        recipe.run(["hparams/nothing.yaml"])
    with pytest.raises(MeritError, match="holds no hyperparams.yaml"):
        scoring.score([str(tmp_path)])


def test_a_label_outside_the_label_set_is_named(corpus, tmp_path):
    with pytest.raises(MeritError, match="neutral"):
        recipe.run(arguments(corpus, tmp_path, "--labels", "[angry, sad, happy]"))


def test_batches_by_duration_hold_each_utterance_once_and_differ_between_epochs(corpus, tmp_path):
    hparams_file, _, overrides = parse(
        arguments(corpus, tmp_path / "run", "--max_batch_seconds", "2")
    )
    hparams = load(hparams_file, overrides)
    prepare(hparams)
    train_set, _, _ = datasets(hparams)
    brain = dataclasses.make_dataclass("Brain", ["train_sampler"])(None)
    sampler = recipe.training_batches(brain, train_set, hparams)["batch_sampler"]
    assert brain.train_sampler is sampler
    orders = []
    for epoch in (1, 2, 1):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(i for batch in batches for i in batch) == list(range(len(train_set)))
        durations = [train_set.data[name]["duration"] for name in train_set.data_ids]
        assert all(sum(durations[i] for i in batch) <= 2 for batch in batches)
        orders.append(batches)
    assert orders[0] == orders[2] != orders[1]


def test_a_run_trains_on_batches_by_duration(corpus, tmp_path):
    more = ["--max_batch_seconds", "2", "--number_of_epochs", "1", "--skip_test", "True"]
    recipe.run(arguments(corpus, tmp_path / "run", *more))
    assert read_curves(tmp_path / "run" / "train_log.txt")[0]["train loss"] > 0


def test_an_epoch_of_fewer_batches_than_a_step_trains_all_the_same(corpus, tmp_path):
    words = ("--grad_accumulation_factor", "1000", "--skip_test", "True")
    recipe.run(arguments(corpus, tmp_path, *words))
    assert "a step takes" in (tmp_path / "log.txt").read_text()
    saved = (tmp_path / "save").glob("CKPT*/optimizer.ckpt")
    last = max(saved, key=lambda path: path.stat().st_mtime)
    steps = {int(s["step"]) for s in torch.load(last, weights_only=True)["state"].values()}
    assert steps == {2}  # one in each of two epochs


def test_batches_that_train_nothing_are_said(caplog):
    for factor, n, left in ((4, 80, 2), (5, 80, 0), (1, 7, 0)):
        caplog.clear()
        assert accumulation(factor, n, batch_size=8) == factor
        assert ("train nothing" in caplog.text) == bool(left)
        assert f"the last {left} of each epoch" in caplog.text or not left
    assert accumulation(4, 10) == 4  # batches by seconds, cut anew each epoch
    assert not caplog.text
    assert accumulation(4, 3) == 3
    assert "an epoch has 3 batches" in caplog.text
