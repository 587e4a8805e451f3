"""Two processes (gloo) train and validate as one does on their joint batches."""

import functools
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from several import SECONDS, processes
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.schedulers import LinearScheduler
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from tiny import WIDTH, tiny_dual_path, tiny_merit

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.predictions import PREDICTIONS, read_predictions
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.evaluation.run import whole_batches
from speechbrain_merit.labels import NO_LABEL
from speechbrain_merit.lobes.emotion import EmotionHead
from speechbrain_merit.lobes.spectral_losses import EXTRA
from speechbrain_merit.training import processes as run
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.checkpoints import Checkpointer
from speechbrain_merit.training.run import training_batches
from speechbrain_merit.training.scoring import score
from speechbrain_merit.training.uncertainty import build_weighting
from tests.training.test_run import arguments, corpus  # noqa: F401 (a fixture)

LABELS = ["angry", "sad", "happy", "neutral"]
BASE = {
    "seed": 0,
    "dtype": torch.float64,
    "attributes": ["arousal", "valence"],
    "accumulate": 1,
    "batch_size": 2,  # a process; 20 steps in two epochs
    "max_batch_seconds": None,
    "utterances": 40,
    "dropout": 0.0,
    "dual_path": False,
    "unlabelled": False,  # whether some utterances of the training have no emotion label
    "extra_weight": 0.0,  # of the further terms of the enhancement loss
    "gradients": "sum",
    "loss_weighting": "fixed",
}
SETTINGS = {
    "one step": {},
    # the concordance of a few utterances divides by the small spread of a new head's answers:
    # float32 cannot do better than 1e-5 there, in one process or two
    "float32": {"dtype": torch.float32, "attributes": []},
    "accumulation": {"accumulate": 2, "batch_size": 1},
    "seconds": {"max_batch_seconds": 0.6},
    "uneven": {"utterances": 39},
    "dual path, unlabelled": {"dual_path": True, "extra_weight": 0.1, "unlabelled": True},
    "learnt weights, PCGrad": {"loss_weighting": "uncertainty", "gradients": "pcgrad"},
}


def utterances(settings, count):
    """A set of unequal utterances: lengths, noise, classes, and ratings that may be missing."""
    draw = torch.Generator().manual_seed(1)
    dtype, items = settings["dtype"], {}
    for index in range(count):
        samples = int(torch.randint(1200, 5000, (1,), generator=draw))
        clean = torch.randn(samples, generator=draw, dtype=torch.float64)
        clean = clean * torch.sin(torch.arange(samples) / (3.0 + index))
        noise = torch.randn(samples, generator=draw, dtype=torch.float64)
        is_clean = index % 3 == 0
        rating = float("nan") if index % 4 == 1 else index % 3 / 3
        items[str(index)] = {
            "mixture": (clean if is_clean else clean + noise).to(dtype),
            "clean": clean.to(dtype),
            "snr_db": float("inf") if is_clean else float(index % 2 * 5),
            "emotion": torch.tensor([index % 4 if index % 5 else 0]),
            "attributes": torch.tensor([index % 7 / 7, rating], dtype=dtype),
            "duration": samples / 16000,
        }
    keys = ["id", "mixture", "clean", "snr_db", "emotion"]
    return DynamicItemDataset(items, [], keys + ["attributes"] * bool(settings["attributes"]))


class Watched(MeritBrain):
    """Notes what each batch of training held, which experts heard it, and each step's gradients."""

    def compute_forward(self, batch, stage):
        if stage.name == "TRAIN":
            self.heard.append([int(name) for name in batch.id])
            self.busy.append(set())
            self.chance.append(torch.get_rng_state())
            if len(self.heard) == self.stop:
                raise InterruptedError
        return super().compute_forward(batch, stage)

    def optimizers_step(self):
        parameters = self.model.named_parameters()
        self.gradients.append({n: p.grad.clone() for n, p in parameters if p.grad is not None})
        super().optimizers_step()

    def validation_scores(self, batches):
        self.validated_conditions.append([c for rows in batches for c in rows["conditions"]])
        return super().validation_scores(batches)


class Replay(torch.utils.data.Sampler):
    """Batches of indices that are given, the same number in each of two epochs."""

    def __init__(self, batches):
        self.batches, self.half = batches, len(batches) // 2

    def set_epoch(self, epoch):
        self.start = (epoch - 1) * self.half

    def __iter__(self):  # noqa: D105
        return iter(self.batches[self.start : self.start + self.half])

    def __len__(self):  # noqa: D105
        return self.half


class Noted:
    """What was noted of a run, by name; printed short, when a test fails."""

    def __init__(self, **values):
        vars(self).update(values)


class Log:
    """A train logger that keeps what it is given."""

    def __init__(self):
        self.epochs = []

    def log_stats(self, meta, train_stats, valid_stats):
        self.epochs.append({**{f"train {n}": float(v) for n, v in train_stats.items()}})
        self.epochs[-1].update({f"valid {n}": float(v) for n, v in valid_stats.items()})


def brain_of(settings, folder, **options):
    """A brain of a tiny network whose encoder is frozen for an epoch."""
    torch.manual_seed(settings["seed"])
    # more experts than a batch of each process needs
    merit = tiny_merit(tiny_dual_path() if settings["dual_path"] else None, n_experts=6)
    merit.attributes = EmotionHead(WIDTH, n_classes=2) if settings["attributes"] else None
    merit.encoder.trained = True
    merit.encoder.freeze()  # as a pretrained one starts
    for module in merit.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = settings["dropout"]
    merit.to(settings["dtype"])
    hparams = {
        **dict(seed=settings["seed"], unfreeze_epoch=2, label_smoothing=0.1),
        **dict(emotion_weight=1.0, attribute_weight=1.0, enhancement_weight=0.2),
        **{f"{name}_weight": settings["extra_weight"] for name in EXTRA},
        **dict(si_sdr_weight=0.01, balance_weight=0.01, z_weight=0.001, si_sdr_score_weight=0.02),
        **dict(labels=LABELS, attributes=settings["attributes"], train_loggers=[Log()]),
        **dict(standardise_utterances=8, test_batch_size=4),
        "class_weights": torch.tensor([0.5, 1.5, 1.0, 2.0]),
        "max_grad_norm": 1.0,
        "grad_accumulation_factor": settings["accumulate"],
        "epoch_counter": EpochCounter(2),
        "opt_class": functools.partial(torch.optim.AdamW, lr=5e-4, weight_decay=0.01),
        "encoder_opt_class": functools.partial(torch.optim.AdamW, lr=5e-5, weight_decay=0.01),
        "lr_annealing": LinearScheduler(5e-4, 1e-5, 2),
        "encoder_lr_annealing": LinearScheduler(5e-5, 1e-6, 2),
        **dict(batch_size=settings["batch_size"], crop_seconds=None),
        **{key: settings[key] for key in ("max_batch_seconds", "gradients")},
    }
    weights = {n: hparams[f"{n}_weight"] for n in ("emotion", "attribute", "enhancement")}
    weighting = build_weighting(settings["loss_weighting"], **weights).to(settings["dtype"])
    run_opts = {"device": "cpu", "distributed_backend": "gloo", "find_unused_parameters": True}
    brain = Watched(
        modules={"model": merit, "weighting": weighting},
        hparams=hparams,
        run_opts={**run_opts, "noprogressbar": True, **options},
        checkpointer=Checkpointer(folder, {"model": merit, "counter": hparams["epoch_counter"]}),
    )
    brain.heard, brain.busy, brain.chance, brain.gradients, brain.stop = [], [], [], [], None
    brain.validated_conditions = []
    for number, expert in enumerate(merit.integration.pool.experts):
        expert.register_forward_hook(functools.partial(note_use, brain, number))
    return brain, hparams


def note_use(brain, number, expert, given, output):
    """Notes that an expert heard frames of the batch."""
    if expert.training:
        brain.busy[-1].add(number)


def train(settings, folder, joint=None, stop=None, **options):
    """Trains two epochs, on given batches or on those of a run; returns what was noted."""
    brain, hparams = brain_of(settings, folder, **options)
    train_set = utterances(settings, settings["utterances"])
    if settings["unlabelled"]:
        for index, row in enumerate(train_set.data.values()):
            row["emotion"] = torch.tensor([NO_LABEL]) if index % 3 else row["emotion"]
    valid_set = utterances(settings, 5)
    if joint is None:
        batches = training_batches(brain, train_set, hparams)
    else:
        batches = {"batch_sampler": Replay(joint)}
        brain.train_sampler = batches["batch_sampler"]
    if brain.checkpointer.find_checkpoint() is None:
        brain.standardise(train_set)
    shares = run.shard(whole_batches(len(valid_set), 2), run.rank(), run.count())
    brain.stop = stop
    try:
        brain.fit(
            *(hparams["epoch_counter"], train_set, valid_set),
            train_loader_kwargs=batches,
            valid_loader_kwargs={"batch_sampler": shares},
        )
    except InterruptedError:
        pass
    return Noted(
        weights={
            name.removeprefix("module."): value.clone()  # as it is where it is wrapped
            for part in (brain.model, brain.modules.weighting)
            for name, value in part.state_dict().items()
        },
        log=hparams["train_loggers"][0].epochs,
        **{n: getattr(brain, n) for n in ("heard", "busy", "chance", "gradients")},
        validated=brain.validated_conditions,
    )


def train_all(folder):
    """All settings in turn, and a run that is interrupted and goes on."""
    results = {
        name: train({**BASE, **changes}, folder / name) for name, changes in SETTINGS.items()
    }
    lively = {**BASE, "dropout": 0.3}
    results["lively"] = train(lively, folder / "lively")
    train(lively, folder / "resumed", stop=8, ckpt_interval_steps=3)
    results["resumed"] = train(lively, folder / "resumed")
    return results


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """For each of the settings: the two processes, and one process on their joint batches."""
    folder = tmp_path_factory.mktemp("two")
    both = processes(2, train_all, folder)
    pairs = {}
    for name, changes in SETTINGS.items():
        two = [results[name] for results in both]
        joint = [one + other for one, other in zip(*(result.heard for result in two))]
        one = train({**BASE, **changes}, folder / f"{name} alone", joint)
        pairs[name] = two, one
    return Noted(pairs=pairs, both=both)


def apart(actual, expected):
    """The distance of two dicts of tensors as a share of the length of the second."""
    assert set(actual) == set(expected)
    squares = {n: (actual[n].double() - v.double()).square().sum() for n, v in expected.items()}
    length = sum(value.double().square().sum() for value in expected.values())
    return float((sum(squares.values()) / length).sqrt())


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_two_processes_are_those_of_one_on_the_joint_batch(name, pairs):
    two, one = pairs.pairs[name]
    assert len(one.gradients) >= 20
    for process in two:
        steps = [apart(*pair) for pair in zip(process.gradients, one.gradients)]
        if name == "float32":  # a step's distance is rounding, some more and some less
            assert sum(steps) / len(steps) < 1e-6 and max(steps) < 1e-5
        else:
            assert max(steps) < 1e-11
    frozen, freed = one.gradients[0], one.gradients[-1]
    layer = "encoder.model.layers.0.fc1.weight"
    assert layer not in frozen and freed[layer].any()  # both stages were seen


@pytest.mark.parametrize("name", SETTINGS)
def test_weights_of_two_processes_are_those_of_one(name, pairs):
    two, one = pairs.pairs[name]
    assert apart(two[0].weights, two[1].weights) == 0
    assert apart(two[0].weights, one.weights) < (1e-6 if name == "float32" else 1e-13)


def test_the_steps_hold_experts_that_only_one_process_heard(pairs):
    for name in ("one step", "accumulation", "seconds"):
        two, _ = pairs.pairs[name]
        assert any(first != second for first, second in zip(*(p.busy for p in two))), name


@pytest.mark.parametrize("name", SETTINGS)
def test_an_epoch_holds_every_utterance_and_no_process_waits_for_another(name, pairs):
    two, one = pairs.pairs[name]
    assert len(two[0].heard) == len(two[1].heard)
    half = len(one.heard) // 2
    for epoch in (one.heard[:half], one.heard[half:]):
        heard = sum(epoch, [])
        settings = {**BASE, **SETTINGS[name]}
        assert set(heard) == set(range(settings["utterances"]))
        if settings["max_batch_seconds"] is None:
            assert (
                len(heard) <= settings["utterances"] + 1
            )  # one repeated, so that all have as many


def test_two_processes_hear_the_batches_of_one_that_is_twice_as_large(pairs, tmp_path):
    _, joint = pairs.pairs["one step"]
    whole = train({**BASE, "batch_size": 4}, tmp_path)
    assert [sorted(batch) for batch in whole.heard] == [sorted(batch) for batch in joint.heard]
    assert apart(whole.weights, joint.weights) < 1e-13


@pytest.mark.parametrize("name", SETTINGS)
def test_validation_is_shared_and_scores_as_one_process_does(name, pairs):
    two, one = pairs.pairs[name]
    assert two[0].validated == two[1].validated == one.validated
    assert [len(epoch) for epoch in one.validated] == [5, 5]
    for process in two:
        for values, expected in zip(process.log, one.log):
            assert values == pytest.approx(expected, rel=1e-5 if name == "float32" else 1e-9)


def test_each_process_has_a_chance_of_its_own_and_the_first_that_of_one(pairs):
    two, one = pairs.pairs["one step"]
    assert torch.equal(two[0].chance[0], one.chance[0])
    assert not torch.equal(two[1].chance[0], one.chance[0])


def test_two_processes_that_were_interrupted_in_an_epoch_end_as_without(pairs):
    for results in pairs.both:
        whole, resumed = results["lively"], results["resumed"]
        assert resumed.heard[0] == whole.heard[6]  # three and three steps were saved
        assert apart(resumed.weights, whole.weights) == 0
        assert resumed.log == whole.log


def too_many(folder):
    """What a run of as many processes as batches says."""
    with pytest.raises(SettingsError) as caught:
        train({**BASE, "max_batch_seconds": 1000.0, "utterances": 4}, folder)
    return str(caught.value)


def test_more_processes_than_batches_are_named(tmp_path):
    said = processes(2, too_many, tmp_path)
    assert all(re.match("2 processes share [12] batches an epoch: start fewer", s) for s in said)


@pytest.mark.parametrize("gpus, hint", [(0, "give train.py"), (1, "give torchrun --nproc_per_")])
def test_more_processes_than_gpus_are_named(gpus, hint, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(SettingsError, match=f"has {gpus} GPUs to use, and process 2 .*{hint}"):
        run.start(RunOptions.from_dictionary({"distributed_backend": "nccl"}))


def torchrun(root, *command):
    """Runs a script in two processes from a folder; gives its exit code and what it said."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # a session of its own, so that a launcher that hangs ends with what it launched
    process = subprocess.Popen(
        launch + list(command), env=environment, cwd=root, start_new_session=True, **output
    )
    try:
        said, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, said


def test_torchrun_trains_scores_and_exports(corpus, tmp_path, repo_root):  # noqa: F811
    more = ["--find_unused_parameters", "--max_batch_seconds", "2"]
    command = ["train.py", *arguments(corpus, tmp_path / "run", *more)]
    code, said = torchrun(repo_root, *command)
    assert code == 0, said
    assert [epoch["epoch"] for epoch in read_curves(tmp_path / "run" / "train_log.txt")] == [1, 2]
    assert (tmp_path / "run" / "evaluation" / "report.html").is_file()
    assert (tmp_path / "run" / "pretrained" / "hyperparams.yaml").is_file()

    # each process has scored its batches: the same rows, in order, as one process makes
    folder = tmp_path / "run" / "evaluation"
    assert not list(folder.glob("predictions.?.jsonl"))
    shared = list(read_predictions(folder / PREDICTIONS)[1])
    score([str(tmp_path / "run"), "--device", "cpu"])
    alone = list(read_predictions(folder / PREDICTIONS)[1])
    assert [row["id"] for row in shared] == [row["id"] for row in alone]
    assert [row["scores"].keys() for row in shared] == [row["scores"].keys() for row in alone]
    for ours, theirs in zip(shared, alone):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-6)


@pytest.mark.parametrize(
    "where", [pytest.param("settings", marks=pytest.mark.long), "preparation", "training"]
)
def test_an_error_of_one_process_ends_all_with_its_message_once(
    where,
    corpus,  # noqa: F811
    tmp_path,
    repo_root,
):
    wrong = {"settings": ["--seed", "x"], "preparation": ["--labels", "[angry, sad]"]}
    more = ["--find_unused_parameters", *wrong.get(where, [])]
    script = tmp_path / "fails.py"
    script.write_text(
        f"""
import os
import sys

from speechbrain_merit.errors import MeritError
from speechbrain_merit.training.brain import MeritBrain
from speechbrain_merit.training.run import run

forward = MeritBrain.compute_forward


def fails(brain, batch, stage):
    if {where == "training"} and os.environ["RANK"] == "1" and brain.step == 1:
        raise MeritError("The second process fails")
    return forward(brain, batch, stage)


MeritBrain.compute_forward = fails
try:
    run(sys.argv[1:])
except MeritError as error:
    sys.exit(f"ended: {{error}}")
"""
    )
    code, said = torchrun(repo_root, str(script), *arguments(corpus, tmp_path / "run", *more))
    message = {"settings": "seed", "preparation": "row .train_", "training": "The second process"}
    assert code != 0
    assert len(re.findall(f"ended: .*{message[where]}", said)) == 1, said
    assert said.count("Traceback (most recent call last)") <= said.count("torch/distributed/run.py")
