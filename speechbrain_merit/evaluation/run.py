"""The road of scoring: predict → score → rows of predictions → tables, figures, report."""

import math
import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.logger import get_logger
from torch.utils.data import DataLoader
from tqdm import tqdm

from speechbrain_merit.evaluation import predictions, provenance
from speechbrain_merit.evaluation.conditions import Conditions
from speechbrain_merit.evaluation.enhancement import score_utterances
from speechbrain_merit.evaluation.frame_levels import frame_levels, use_by_level
from speechbrain_merit.evaluation.parallel import processes
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.evaluation.report.examples import (
    delete_examples,
    example_ids,
    examples_kept,
    load_example,
    saved_examples,
)
from speechbrain_merit.evaluation.report.page import write_report
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE, sample_counts

logger = get_logger(__name__)

FOLDER = "evaluation"
FEW = 32  # utterances, which this process scores before a worker has started


class Alone:
    """The processes of an evaluation, where there is one; of several, they say the same by rank."""

    @staticmethod
    def rank():
        """The number of this process, from 0."""
        return 0

    @staticmethod
    def count():
        """How many there are."""
        return 1

    @staticmethod
    def gather(value):
        """What each of them gives, once all have."""
        return [value]


def evaluate(model, test_set, hparams, device, checkpoint=None, max_batches=None, team=Alone):
    """Scores a model under every condition of a test set and writes the report.

    Each row is written to ``evaluation/predictions.jsonl`` as it is scored. An interrupted
    evaluation of the same model under the same settings goes on where it was. Of several processes
    each scores every n-th batch into a file of its own; the first one joins them.

    Arguments
    ---------
    model : Merit
        The trained network.
    test_set : DynamicItemDataset
        From :func:`speechbrain_merit.data.pipeline.fixed_set`.
    hparams : dict
        Of the run: ``labels``, ``attributes``, ``output_folder``, ``train_log``,
        ``test_batch_size``, ``num_workers``, ``n_jobs``, ``n_examples``, of the calibration
        ``temperature`` (1 without it), ``quick`` (True leaves out PESQ and STOI), and what
        :func:`~speechbrain_merit.evaluation.provenance.header` names; ``evaluation_folder``, where
        results go into another folder of the run than ``evaluation``.
    device : str
        Where the model is.
    checkpoint : str, optional
        Name of the checkpoint that the model was read from.
    max_batches : int, optional
        Only so many batches are scored, to see whether all works.
    team : module or class
        The processes that share the work, such as :mod:`speechbrain_merit.training.processes`.

    Returns
    -------
    list
        A dict a condition, also written to ``<output_folder>/evaluation/metrics.json``. Where the
        test set joins several corpora, ``metrics_by_corpus.json`` beside it holds such a list for
        each. Of several processes, all but the first give an empty one.
    """
    folder = Path(hparams["output_folder"]) / hparams.get("evaluation_folder", FOLDER)
    file = folder / predictions.PREDICTIONS
    batches = whole_batches(len(test_set), hparams["test_batch_size"])[:max_batches]
    header = provenance.header(model, test_set, batches, hparams, device, checkpoint)
    if team.count() > 1:
        shares = [file.with_suffix(f".{rank}.jsonl") for rank in range(team.count())]
        own = batches[team.rank() :: team.count()]
        score_batches(model, test_set, own, shares[team.rank()], header, hparams, device, team)
        team.gather(None)  # all are done
        if team.rank():
            return []
        predictions.write_predictions(file, *predictions.merge_predictions(shares))
        for share in shares:
            share.unlink()
    else:
        score_batches(model, test_set, batches, file, header, hparams, device)
    return report(folder, hparams["train_log"])


def score_batches(model, test_set, batches, file, header, hparams, device, team=Alone):
    """Scores batches of a test set into a file of predictions, from where it was interrupted on."""
    folder = file.parent
    done = predictions.resume(file, header, batches)
    if done == len(batches) and team.count() == 1:
        logger.info(f"{file} is complete: scored anew. --from_predictions True would only read it.")
        done = predictions.begin(file, header)
    if done == 0 and team.rank() == 0:
        delete_examples(folder)
    team.gather(None)  # none is written before the old ones are gone

    left = batches[done:]
    outputs = predict(model, test_set, left, hparams, device)
    wanted = example_ids(test_set, batches, hparams["labels"], hparams["n_examples"])
    outputs = examples_kept(outputs, folder, wanted)
    n_utterances = sum(map(len, left))
    # a few are scored before a worker has started
    n_jobs = 0 if n_utterances < FEW else own_share(hparams["n_jobs"], team)
    rows = scored(outputs, "se" in model.tasks, n_jobs, n_utterances, hparams.get("quick", False))
    predictions.append(file, header, rows)


def own_share(n_jobs, team):
    """The workers of one process of several on a machine: of −1, its part of the cores.

    Example
    -------
    >>> own_share(4, Alone), own_share(0, Alone)
    (4, 0)
    """
    here = min(team.count(), int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    return max(1, processes(n_jobs) // here) if n_jobs < 0 else n_jobs


def report(folder, train_log):
    """Writes metrics, tables, figures and page of what was scored; needs no model.

    Arguments
    ---------
    folder : str or Path
        The folder ``evaluation`` of a run: ``predictions.jsonl``, also as ``.gz`` or ``.xz``, and
        the examples that were kept.
    train_log : str or Path
        Its learning curves are drawn; it need not be there.

    Returns
    -------
    list
        A dict a condition.

    Raises
    ------
    PredictionsError
        The predictions are missing, not all there, broken or of another format.
    """
    folder = Path(folder)
    header, rows = predictions.read_predictions(predictions.find_predictions(folder))
    conditions, kept, examples = Conditions(header), saved_examples(folder), []
    for row in rows:
        conditions.add(row)
        if row["index"] in kept:
            examples.append(load_example(kept[row["index"]], row, header["labels"]))
    rows = conditions.rows()
    write_report(
        folder,
        rows,
        examples,
        conditions.expert_use(),
        read_curves(train_log),
        header["summary"],
        conditions.by_corpus(),
    )
    logger.info(f"Results: {folder / 'report.html'}")
    print((folder / "metrics.md").read_text(encoding="utf-8"))
    return rows


class Output(NamedTuple):
    """What a model makes of one utterance: its row, without the enhancement scores, and the rest.

    ``waves``: noisy, enhanced (None without a head for it) and clean, each (S) in float32.
    ``experts``: task → the expert of each frame, the first where there are several, (T).
    """

    row: dict
    waves: dict
    experts: dict


def whole_batches(n_items, batch_size):
    """The indices of a set in its order, in batches, the last one smaller perhaps.

    Example
    -------
    >>> whole_batches(5, 2)
    [[0, 1], [2, 3], [4]]
    """
    starts = range(0, n_items, batch_size)
    return [list(range(i, min(i + batch_size, n_items))) for i in starts]


@torch.no_grad()
def predict(model, test_set, batches, hparams, device):
    """Yields, utterance by utterance, what a model makes of batches of a test set.

    Arguments
    ---------
    model : Merit
        The network.
    test_set : DynamicItemDataset
        From :func:`speechbrain_merit.data.pipeline.fixed_set`.
    batches : list of sequences of int
        Places in the test set; those of one batch are heard together.
    hparams : dict
        ``labels``, ``num_workers`` and ``temperature``.
    device : str
        Where the model is.

    Yields
    ------
    Output
    """
    model.eval()
    temperature = hparams.get("temperature", 1.0)
    loader = DataLoader(
        test_set,
        batch_sampler=batches,
        collate_fn=PaddedBatch,
        num_workers=hparams["num_workers"],
    )
    for places, batch in zip(batches, loader):
        batch = batch.to(device)
        wavs, lengths = batch.mixture
        output = model(wavs, lengths)
        counts = sample_counts(wavs, lengths).tolist()
        frames = output.frames.sum(dim=1).tolist()
        for i, (index, count) in enumerate(zip(places, counts)):
            waves = {"noisy": wavs, "enhanced": output.waves, "clean": batch.clean.data}
            waves = {
                name: None if wave is None else wave[i, :count].cpu().numpy()
                for name, wave in waves.items()
            }
            paths = {
                task: routing.experts[i, : frames[i]].cpu().numpy()
                for task, routing in output.routing.items()
                if model.n_experts is not None
            }
            shares = {task: expert_shares(p, model.n_experts) for task, p in paths.items()}
            levels = frame_levels(waves["clean"], frames[i])
            by_level = {
                task: use_by_level(path, model.n_experts, levels) for task, path in paths.items()
            }
            entry, label = test_set.data[batch.id[i]], int(batch.emotion.data[i])
            row = {
                "index": index,
                "id": batch.id[i],
                "utterance": entry["utterance"],
                "speaker": str(entry["spk_id"]),
                "corpus": entry.get("corpus"),
                "label": hparams["labels"][label] if hparams["labels"] else None,
                "noise_set": entry["noise_set"],
                "snr_db": entry["asked_snr_db"],
                "measured_snr_db": measured_snr(waves),
                "probabilities": None
                if output.logits is None
                else (output.logits[i].float() / temperature).softmax(dim=-1).tolist(),
                "attributes": attribute_values(batch, output, i),
                "scores": None,
                "frames": frames[i],
                "experts": shares or None,
                "experts_by_level": by_level or None,
            }
            yield Output(row, waves, {task: path[:, 0] for task, path in paths.items()})


def measured_snr(waves):
    """The SNR in dB of a mixture over its true length, from its waves; None without noise."""
    clean = waves["clean"].astype(np.float64)
    noise = waves["noisy"] - clean
    energies = clean @ clean, noise @ noise
    return round(10 * math.log10(energies[0] / energies[1]), 4) if all(energies) else None


def attribute_values(batch, output, i):
    """What raters and model say of the attributes of an utterance; None without a head for them."""
    if output.attributes is None:
        return None
    truth = batch.attributes.data[i].tolist()
    return {
        "truth": [None if math.isnan(value) else value for value in truth],
        "predicted": output.attributes[i].float().tolist(),
    }


def expert_shares(chosen, n_experts):
    """Share of the frames (T) that each expert heard, by the experts (T, k) of each frame."""
    frames = np.bincount(chosen.ravel(), minlength=n_experts)
    # 6 digits: times the number of frames, the whole number comes back
    return [round(float(share), 6) for share in frames / max(1, len(chosen))]


def scored(outputs, enhances, n_jobs, total, quick=False):
    """Yields the rows of outputs, with the enhancement scores where the system enhances."""
    if not enhances:
        yield from (output.row for output in tqdm(outputs, total=total, desc="Scoring"))
        return
    waiting = deque()  # rows whose waves are being scored

    def waves():
        for output in outputs:
            waiting.append(output.row)
            yield tuple(output.waves[name] for name in ("clean", "noisy", "enhanced"))

    for scores in score_utterances(waves(), SAMPLE_RATE, n_jobs, total=total, quick=quick):
        yield {**waiting.popleft(), "scores": scores}
