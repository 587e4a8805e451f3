"""The road of a run: arguments → YAML, corpus → preparation → data → Brain → fit → scoring."""

import contextlib
import difflib
import os
import re
from pathlib import Path

import speechbrain as sb
import yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.distributed import ddp_init_group, run_on_main
from speechbrain.utils.logger import get_logger

from speechbrain_merit.brain import MeritBrain
from speechbrain_merit.corpora import (
    RECIPES,
    as_text,
    data_root,
    overlay,
    prepare_corpora,
    recipe_module,
)
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.mixing import NARROW, FixedMixer, NoiseBank, TrainingMixer
from speechbrain_merit.data.pipeline import (
    batches_by_duration,
    fixed_set,
    label_encoder,
    training_set,
)
from speechbrain_merit.data.rooms import RoomBank
from speechbrain_merit.evaluation import evaluate
from speechbrain_merit.export_run import export_trained
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE
from speechbrain_merit.losses import class_weights

logger = get_logger(__name__)

TRAIN_LOG = "train_log.txt"
#: Keys that say how a run works, not what it computes: a resumed run may change them.
RUNNING_KEYS = {
    "skip_prep",
    "skip_test",
    "num_workers",
    "n_jobs",
    "ckpt_interval_minutes",
    "train_logger",
    "train_loggers",
    "noise_test_folders",
    "test_snrs",
    "test_band_limit",
    "test_seed",
    "test_batch_size",
    "n_examples",
}


class UserError(Exception):
    """Something the user can mend; the message says what and how."""


@contextlib.contextmanager
def user_errors():
    """Turns the errors of loading and preparing into :class:`UserError`, before training starts."""
    try:
        yield
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise UserError(str(text)) from error


def run(arguments):
    """Trains and scores a system; ``arguments`` are those of the command line of ``train.py``."""
    with user_errors():
        hparams_file, run_opts, overrides = parse(arguments)
    ddp_init_group(run_opts)
    with user_errors():
        hparams = load(hparams_file, overrides)
        refuse_changes(hparams_file, overrides, hparams)
        sb.create_experiment_directory(hparams["output_folder"], str(hparams_file), overrides)
        run_on_main(prepare, [hparams])
        train_set, valid_set, test_set = datasets(hparams)

    brain = MeritBrain(
        modules=hparams["modules"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if hparams["checkpointer"].find_checkpoint() is None:
        brain.standardise(train_set)
    loader = {"num_workers": hparams["num_workers"]}
    brain.fit(
        brain.hparams.epoch_counter,
        train_set,
        valid_set,
        train_loader_kwargs={**training_batches(brain, train_set, hparams), **loader},
        valid_loader_kwargs={"batch_size": hparams["test_batch_size"], **loader},
    )
    brain.on_evaluate_start(max_key="score")
    if not hparams["skip_test"]:
        evaluate(brain.model, test_set, hparams, brain.device)
    export_trained(brain.model, valid_set, hparams, brain.device)


def training_batches(brain, train_set, hparams):
    """How the training set is cut into batches: by number, or by seconds of audio."""
    if hparams["max_batch_seconds"] is None:
        return {"batch_size": hparams["batch_size"], "shuffle": True}
    seconds = hparams["max_batch_seconds"], hparams["crop_seconds"]
    sampler = batches_by_duration(train_set, *seconds, hparams["seed"])
    brain.train_sampler = sampler  # sb.Brain tells it the epoch
    return {"batch_sampler": sampler}


def score(arguments):
    """Scores the best checkpoint of a run; ``arguments`` are those of ``evaluate.py``."""
    with user_errors():
        folder = Path(arguments[0] if arguments else "")
        if not (folder / "hyperparams.yaml").is_file():
            raise UserError(f"{folder} holds no hyperparams.yaml: give the folder of a run.")
        hparams_file, run_opts, overrides = parse(
            [str(folder / "hyperparams.yaml"), *arguments[1:], "--output_folder", str(folder)]
        )
        save = folder / "save"  # the run may have been moved since it was trained
        annotation = {"test_annotation": str(save / "test.json")} | overrides
        overrides = {**annotation, "save_folder": str(save), "train_log": str(folder / TRAIN_LOG)}
        hparams = load(hparams_file, overrides)
        hparams["checkpointer"].checkpoints_dir = save
        best = hparams["checkpointer"].find_checkpoint(max_key="score")
        if best is None:
            raise UserError(f"{save} holds no checkpoint with a score: train first.")
        test_set = fixed_test_set(hparams, prepare_noise(hparams))
    device = run_opts.get("device") or sb.utils.distributed.infer_device()
    hparams["checkpointer"].load_checkpoint(best)
    return evaluate(hparams["model"].to(device), test_set, hparams, device)


def parse(arguments):
    """Splits the command line into the YAML, SpeechBrain's run options, and one mapping of keys.

    Precedence: command line over the corpus's ``corpus.yaml`` over the system's YAML.
    """
    arguments = list(arguments)
    for argument in arguments:
        value = argument.partition("=")[2] if argument.startswith("--") else argument
        if "=" in value:  # SpeechBrain would make "x y" of it in silence
            raise UserError(f"{argument}: a value must not hold '='; rename the file or folder.")
    corpus = None
    for index, argument in enumerate(arguments):
        if argument == "--corpus" or argument.startswith("--corpus="):
            value = argument.split("=")[1:] or arguments[index + 1 : index + 2]
            if not value:
                raise UserError("--corpus needs names of folders of recipes/, or paths.")
            corpus = value[0]
            del arguments[index : index + (1 if "=" in argument else 2)]
            break
    hparams_file, run_opts, from_command_line = sb.parse_arguments(arguments)
    if not Path(hparams_file).is_file():
        raise UserError(f"There is no file {hparams_file}: give one of hparams/*.yaml.")
    given = yaml.safe_load(from_command_line) or {}
    overrides = given if corpus is None else overlay(corpus, given)
    if isinstance(overrides.get("data_folder"), dict):
        overrides["data_folder"] = as_text(overrides["data_folder"])
    check_keys(hparams_file, overrides)
    if os.sep in str(overrides.get("corpus")) and "output_folder" not in overrides:
        overrides["output_folder"] = results_folder(hparams_file, overrides)
    return Path(hparams_file), run_opts, overrides


def results_folder(hparams_file, overrides):
    """The YAML's ``output_folder`` with the names of corpora that are given by their paths."""
    tree = yaml.compose(Path(hparams_file).read_text(encoding="utf-8"))
    values = {key.value: value.value for key, value in tree.value} | overrides
    values["corpus"] = ",".join(Path(name).name for name in overrides["corpus"].split(","))
    return re.sub(r"<(\w+)>", lambda key: str(values[key[1]]), values["output_folder"])


def check_keys(hparams_file, overrides):
    """Raises :class:`UserError` for a key that the YAML lacks, with the nearest that it has."""
    tree = yaml.compose(Path(hparams_file).read_text(encoding="utf-8"))
    known = [key.value for key, _ in tree.value]
    for key in overrides:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f". It has: {', '.join(known)}."
            raise UserError(f"{hparams_file} has no key {key}{hint}")


def load(hparams_file, overrides):
    """Builds everything that the YAML names."""
    with open(hparams_file, encoding="utf-8") as file:
        return load_hyperpyyaml(file, overrides)


def refuse_changes(hparams_file, overrides, hparams):
    """Raises :class:`UserError` where a run would resume from one of another configuration."""
    earlier = Path(hparams["output_folder"]) / "hyperparams.yaml"
    if not earlier.is_file() or not any(Path(hparams["save_folder"]).glob("CKPT*")):
        return
    with open(hparams_file, encoding="utf-8") as file:
        new = blocks(resolve_references(file, overrides).getvalue())
    old = blocks(earlier.read_text(encoding="utf-8"))
    changed = sorted(k for k in {*old, *new} - RUNNING_KEYS if old.get(k) != new.get(k))
    if changed:
        raise UserError(
            f"{hparams['output_folder']} holds a run with other values of {', '.join(changed)}. "
            "Give another --output_folder, or delete that one, to start anew."
        )


def blocks(text):
    """A resolved YAML file as top-level key → the text of its value, comments left out."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*(#|$)", line)]
    keys = {}
    for line in lines:
        if not line[0].isspace() and ":" in line:
            key = line.split(":", 1)[0]
            keys[key] = ""
        keys[key] += re.sub(r"\s+#.*$", "", line).rstrip() + "\n"
    return keys


def prepare(hparams):
    """Writes the manifests of the noise, the rooms and the corpus."""
    prepare_noise(hparams)
    prepare_rooms(hparams)
    prepare_corpora(hparams)


def prepare_noise(hparams):
    """Writes the noise manifests; returns folders and manifests, each for train, valid and test.

    Where no noise folder is given, MiniMERIT's own noise is used.
    """
    keys = ("noise_train_folder", "noise_valid_folder", "noise_test_folders")
    given = [hparams[key] for key in keys]
    if not any(given):
        mini = recipe_module(RECIPES / "MiniMERIT" / "minimerit_prepare.py")
        folders = mini.prepare_minimerit_noise(hparams["noise_folder"])
        given = [folders["train"], folders["valid"], folders["test"]]
    for key, value in zip(keys, given):
        if not value:
            raise ValueError(f"{key} is empty: give it too, or none of {', '.join(keys)}.")
    noise = recipe_module(RECIPES / "Noise" / "noise_prepare.py")
    manifests = noise.prepare_noise(*given, hparams["save_folder"], skip_prep=hparams["skip_prep"])
    return dict(zip(("train", "valid", "test"), given)), manifests


def prepare_rooms(hparams):
    """Writes the manifest of the room impulse responses and returns it, or None without any."""
    if not hparams["rir_folder"]:
        return None
    rooms = recipe_module(RECIPES / "Noise" / "rooms_prepare.py")
    return rooms.prepare_rooms(hparams["rir_folder"], hparams["save_folder"], hparams["skip_prep"])


def datasets(hparams):
    """The training, validation and test datasets; sets ``hparams["class_weights"]``."""
    folders, manifests = prepare_noise({**hparams, "skip_prep": True})
    encoder = label_encoder(hparams["labels"])
    train = speech(hparams, "train_annotation")
    labels, attributes = hparams["labels"], hparams["attributes"]
    require_attributes(train, attributes, hparams["train_annotation"])
    counts = [sum(entry["emo"] == label for entry in train.values()) for label in labels]
    hparams["class_weights"] = class_weights(counts) if labels else None
    mixer = TrainingMixer(
        noise_bank(manifests["train"], folders["train"]),
        hparams["seed"],
        hparams["epoch_counter"],
        hparams["train_snr_db"],
        hparams["clean_share"],
        hparams["speeds"],
        hparams["crop_seconds"],
        hparams["max_noises"],
        hparams["filter_share"],
        hparams["band_limit_share"],
        room_bank(hparams),
        hparams["room_share"],
        hparams["codec_share"],
    )
    valid = noise_bank(manifests["valid"], folders["valid"])
    return (
        training_set(train, encoder, mixer, hparams["passes_per_epoch"], attributes),
        fixed_set(
            speech(hparams, "valid_annotation"),
            encoder,
            FixedMixer({"valid": valid}, SAMPLE_RATE, hparams["test_seed"]),
            [("valid", snr) for snr in hparams["valid_snrs"]],
            attributes,
        ),
        None if hparams["skip_test"] else fixed_test_set(hparams, (folders, manifests)),
    )


def fixed_test_set(hparams, noise):
    """The test dataset: clean, and each noise set at each SNR, within 4 kHz too where asked."""
    folders, manifests = noise
    banks = {
        name: noise_bank(manifest, folders["test"][name])
        for name, manifest in manifests["test"].items()
    }
    bands = ("", NARROW) if hparams["test_band_limit"] else ("",)
    sets = [name + band for band in bands for name in banks]
    conditions = [(None, None)] + [(name, snr) for name in sets for snr in hparams["test_snrs"]]
    return fixed_set(
        speech(hparams, "test_annotation"),
        label_encoder(hparams["labels"]),
        FixedMixer(banks, SAMPLE_RATE, hparams["test_seed"]),
        conditions,
        hparams["attributes"],
    )


def require_attributes(entries, attributes, manifest):
    """Raises ValueError for an attribute that no utterance of a manifest is rated on."""
    for name in attributes:
        if all(entry.get(name) is None for entry in entries.values()):
            raise ValueError(
                f"attributes: no utterance of {manifest} has {name}. The corpus does not rate it, "
                "or the manifest is older than the key: leave it out, or prepare the corpus again."
            )


def speech(hparams, key):
    """The checked entries of a speech manifest.

    Raises
    ------
    ValueError
        A row is wrong, or an utterance longer than the encoder can hear.
    """
    root = {"data_root": data_root(hparams)}
    entries = load_manifest(hparams[key], hparams["labels"] or None, root)
    limit = hparams["encoder_module"].max_seconds
    cropped = key == "train_annotation" and hparams["crop_seconds"] is not None
    longest = max(entries, key=lambda name: entries[name]["duration"])
    slowest = min(hparams["speeds"]) if key == "train_annotation" else 1.0
    if limit and not cropped and entries[longest]["duration"] > limit * slowest:
        raise ValueError(
            f"{longest} in {hparams[key]} lasts {entries[longest]['duration']:.1f} s and the "
            f"encoder hears at most {limit} s at once: cut the recordings, set crop_seconds for "
            "training, or take a WavLM, HuBERT or wav2vec 2.0 encoder."
        )
    return entries


def noise_bank(manifest, folder):
    """The recordings of a noise manifest."""
    return NoiseBank(load_manifest(manifest, replacements={"noise_root": str(folder)}), SAMPLE_RATE)


def room_bank(hparams):
    """The impulse responses to train in, or None."""
    manifest = prepare_rooms({**hparams, "skip_prep": True})
    if manifest is None:
        return None
    root = {"rir_root": str(hparams["rir_folder"])}
    return RoomBank(load_manifest(manifest, replacements=root), SAMPLE_RATE)
