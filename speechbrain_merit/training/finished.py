"""From a finished run to a pretrained folder: ``RESULTS/pretrained``, and ``merit export``."""

import json
from pathlib import Path

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from torch.utils.data import DataLoader

from speechbrain_merit.data.datasets import datasets
from speechbrain_merit.errors import PretrainedError, SettingsError
from speechbrain_merit.evaluation.calibration import fit_temperature
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.export.loading import HEARD, HPARAMS
from speechbrain_merit.export.model_card import Run, model_card
from speechbrain_merit.training.checkpoints import whole_checkpoints
from speechbrain_merit.training.known_speakers import to_tell, trained_on
from speechbrain_merit.training.settings import load_finished, plain_values, refuse_old
from speechbrain_merit.writing import write_text

logger = get_logger(__name__)

FOLDER = "pretrained"
TEMPERATURE = "temperature.json"  # in a run's save folder


def export_trained(model, valid_set, hparams, device):
    """Writes ``<output_folder>/pretrained`` of the best checkpoint, which the model has loaded.

    Arguments
    ---------
    model : Merit
        With the weights of the best checkpoint.
    valid_set : DynamicItemDataset
        Fits the temperature.
    hparams : dict
        Of the run.
    device : str
        Where the model is.
    """
    if not if_main_process():
        return
    temperature, reason = calibrate(model, valid_set, hparams, device)
    results = hparams["output_folder"]
    try:
        write(Path(results) / FOLDER, model, hparams, temperature, reason)
    except FileExistsError as error:  # somebody's own files: the run itself is whole
        logger.warning(f"{error} This run's model: merit export {results} OUT")


def write(folder, model, hparams, temperature, reason, precision="fp32", overwrite=True):
    """Writes a pretrained folder of a run's model."""
    output = Path(hparams["output_folder"])
    best = best_checkpoint(output)
    facts = {
        "system": hparams["system"],
        "corpus": ",".join(Path(name).name for name in str(hparams["corpus"]).split(",")),
        "attributes": list(hparams.get("attributes") or []),
        "checkpoint": None if best is None else best.name,
        HEARD: to_tell(trained_on(output)),
    }
    run = Run.left_in(output)
    card = model_card(hparams, run, precision, temperature, reason, model.tasks)
    labels = hparams["labels"]
    return write_pretrained(folder, model, labels, card, precision, temperature, facts, overwrite)


def best_checkpoint(output):
    """The folder of a run's checkpoint with the highest score, or None."""
    found = whole_checkpoints(Path(output) / "save", needed=["model"])
    scored = [checkpoint for checkpoint in found if checkpoint.meta.get("score") is not None]
    # of two with the same score the later, as SpeechBrain has it
    best = max(scored, key=lambda c: (c.meta["score"], c.meta["unixtime"]), default=None)
    return None if best is None else best.path


def calibrate(model, valid_set, hparams, device):
    """The temperature of the best checkpoint, which the model has loaded; fitted once and kept.

    Scores, tables and the exported folder are all of this one, in ``save/temperature.json``.

    Returns
    -------
    tuple
        Temperature, and why it is 1 where it could not be fitted, otherwise None.
    """
    kept = kept_temperature(hparams["output_folder"])
    if kept is not None:
        return kept
    temperature, reason = temperature_of(model, valid_set, hparams, device)
    best = best_checkpoint(hparams["output_folder"])
    facts = {"checkpoint": best and best.name, "temperature": temperature, "reason": reason}
    path = Path(hparams["output_folder"]) / "save" / TEMPERATURE
    write_text(path, json.dumps(facts, indent=1) + "\n")
    return temperature, reason


def kept_temperature(output):
    """Temperature and reason that `calibrate` kept in a run's folder, or None.

    What is of another checkpoint is passed over; so is a failure, as recordings may be back.
    """
    best = best_checkpoint(output)
    try:
        facts = json.loads((Path(output) / "save" / TEMPERATURE).read_text(encoding="utf-8"))
        found = facts["checkpoint"], float(facts["temperature"]), facts["reason"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found[1:] if best and found[0] == best.name and found[2] is None else None


def calibrate_finished(model, hparams, device):
    """As `calibrate`, of a run that is over: where it kept none, fitted again and not written."""
    kept = kept_temperature(hparams["output_folder"])
    if kept is not None:
        return kept
    try:
        valid_set = datasets({**hparams, "skip_test": True})[1]
    except (OSError, ValueError, KeyError) as error:
        logger.warning(f"Not calibrated: {error}")
        return 1.0, "the validation recordings could not be read"
    return temperature_of(model, valid_set, hparams, device)


def temperature_of(model, valid_set, hparams, device):
    """The temperature fitted on a validation set; 1 and the reason where that cannot be done."""
    if model.emotion is None:
        return 1.0, "the model names no emotion"
    try:
        logits, truth = validation_logits(model, valid_set, hparams, device)
    except (OSError, RuntimeError) as error:
        logger.warning(f"Not calibrated: the validation set cannot be read: {error}")
        return 1.0, "the validation recordings could not be read"
    return fit_temperature(logits, truth), None


@torch.inference_mode()
def validation_logits(model, valid_set, hparams, device):
    """Logits (N, classes) and true classes (N) of a validation set under all its SNRs."""
    model.eval()
    loader = DataLoader(valid_set, hparams["test_batch_size"], collate_fn=PaddedBatch)
    logits, truth = [], []
    for batch in loader:
        batch = batch.to(device)
        logits.append(model(*batch.mixture, tasks=("ser",)).logits.float().cpu())
        truth += batch.emotion.data.squeeze(1).tolist()
    return torch.cat(logits).numpy(), truth


def export_run(results, out, precision="fp32", overwrite=False):
    """Makes a pretrained folder of a run; ``merit export``.

    What training left in ``RESULTS/pretrained`` is taken where it is of the best checkpoint, so
    that neither recordings nor the encoder's source are needed; otherwise the run is loaded from
    its YAML and checkpoint, and calibrated anew where its validation recordings are still there.

    Arguments
    ---------
    results : str or Path
        The folder of a run.
    out : str or Path
        The folder to make.
    precision : str
        ``fp32``, ``fp16`` or ``int8``.
    overwrite : bool
        Replace ``out`` where it is a pretrained folder already.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ValueError
        ``results`` is no finished run.
    """
    results = Path(results)
    if not (results / HPARAMS).is_file():
        raise ValueError(f"{results} holds no {HPARAMS}: give the folder of a run.")
    refuse_old(results)
    best = best_checkpoint(results)
    if best is None:
        raise ValueError(f"{results / 'save'} holds no checkpoint with a score: train first.")
    made = exported_before(results, best)
    hparams, model, temperature, reason = made or loaded(results)
    hparams = {**hparams, "output_folder": str(results)}
    return write(out, model, hparams, temperature, reason, precision, overwrite)


def exported_before(results, best):
    """What training exported, if it is of the best checkpoint; otherwise None."""
    from speechbrain_merit.inference import MeritInterface

    folder = results / FOLDER
    if not (folder / HPARAMS).is_file():
        return None
    try:
        merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
    except PretrainedError as error:
        logger.warning(f"{folder} is passed over: {error}")
        return None
    if getattr(merit.hparams, "checkpoint", None) != best.name:
        return None
    keys = plain_values(results / HPARAMS)
    temperature = merit.hparams.temperature
    reason = None if temperature != 1 else "the run left no calibration"
    return keys, merit.model, temperature, reason


def loaded(results):
    """The run as its YAML and best checkpoint make it, calibrated where that can be done."""
    try:
        hparams, _ = load_finished(results, ["--skip_test", "True"])
    except SettingsError as error:
        raise ValueError(str(error)) from error
    model = hparams["model"].eval()
    return (hparams, model, *calibrate_finished(model, hparams, "cpu"))
