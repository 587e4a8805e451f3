"""The road of scoring: system × noise set × SNR → rows → tables, figures, report."""

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from torch.utils.data import DataLoader
from tqdm import tqdm

from speechbrain_merit.evaluation.attributes import attribute_scores
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.evaluation.enhancement import mean_scores, score_utterances
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.evaluation.report.page import Example, write_report
from speechbrain_merit.evaluation.significance import bootstrap_f1
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE, sample_counts

logger = get_logger(__name__)

EMOTION_KEYS = ("f1_macro", "f1_macro_ci", "f1_micro", "uar", "recall", "confusion", "ece")
NO_EMOTION = "unlabelled"  # of an example, where the system names none
ENHANCEMENT_KEYS = tuple(
    name + suffix
    for name in ("pesq", "stoi", "si_sdr", "ssnr", "ssnr_sb")
    for suffix in ("", "_noisy")
) + ("pesq_failed",)


def evaluate(model, test_set, hparams, device):
    """Scores a model under every condition of a test set and writes the report.

    Arguments
    ---------
    model : Merit
        The trained network.
    test_set : DynamicItemDataset
        From :func:`speechbrain_merit.data.pipeline.fixed_set`.
    hparams : dict
        Of the run: ``labels``, ``output_folder``, ``train_log``, ``test_batch_size``,
        ``num_workers``, ``n_jobs``, ``n_examples`` and what the report's head names.
    device : str
        Where the model is.

    Returns
    -------
    list
        A dict a condition, also written to ``<output_folder>/evaluation/metrics.json``. Where the
        test set joins several corpora, ``metrics_by_corpus.json`` beside it holds such a list for
        each.
    """
    if not if_main_process():
        return []
    folder = Path(hparams["output_folder"]) / "evaluation"
    collected = Collector(test_set, hparams["labels"], hparams["n_examples"])
    outputs = predictions(model, test_set, hparams, device)
    n_jobs = os.cpu_count() if hparams["n_jobs"] < 0 else hparams["n_jobs"]
    if "se" in model.tasks:
        waves = (collected.add(output) for output in outputs)
        scores = score_utterances(waves, SAMPLE_RATE, n_jobs, total=len(test_set))
    else:
        for output in tqdm(outputs, total=len(test_set), desc="scoring"):
            collected.add(output)
        scores = [None] * len(test_set)
    names = hparams["labels"], hparams["attributes"]
    rows = condition_rows(collected.utterances, scores, *names)
    write_report(
        folder,
        rows,
        collected.examples,
        expert_use(collected.utterances, hparams["labels"]),
        read_curves(hparams["train_log"]),
        summary(hparams, model),
        rows_by_corpus(collected.utterances, scores, *names),
    )
    logger.info(f"Results: {folder / 'report.html'}")
    print((folder / "metrics.md").read_text(encoding="utf-8"))
    return rows


@torch.no_grad()
def predictions(model, test_set, hparams, device):
    """Yields, utterance by utterance, what a model makes of a test set."""
    model.eval()
    loader = DataLoader(
        test_set,
        batch_size=hparams["test_batch_size"],
        collate_fn=PaddedBatch,
        num_workers=hparams["num_workers"],
    )
    for batch in loader:
        batch = batch.to(device)
        wavs, lengths = batch.mixture
        output = model(wavs, lengths)
        counts = sample_counts(wavs, lengths).tolist()
        frames = output.frames.sum(dim=1).tolist()
        enhanced = output.waves
        for i, count in enumerate(counts):
            entry = test_set.data[batch.id[i]]
            yield {
                "id": batch.id[i],
                "utterance": entry["utterance"],
                "noise_set": entry["noise_set"],
                "snr_db": entry["asked_snr_db"],
                "speaker": entry["spk_id"],
                "corpus": entry.get("corpus"),
                "truth": int(batch.emotion.data[i]),
                **attribute_values(batch, output, i),
                "probabilities": None
                if output.logits is None
                else output.logits[i].float().softmax(dim=-1).cpu().numpy(),
                "experts": {
                    task: routing.experts[i, : frames[i]].cpu().numpy()
                    for task, routing in output.routing.items()
                },
                "n_experts": {t: r.logits.shape[-1] for t, r in output.routing.items()},
                "clean": batch.clean.data[i, :count].cpu().numpy(),
                "noisy": wavs[i, :count].cpu().numpy(),
                "enhanced": None if enhanced is None else enhanced[i, :count].cpu().numpy(),
            }


def attribute_values(batch, output, i):
    """What raters and model say of the attributes of an utterance; None without a head for them."""
    if output.attributes is None:
        return {"ratings": None, "rated": None}
    return {
        "ratings": batch.attributes.data[i].tolist(),
        "rated": output.attributes[i].float().tolist(),
    }


class Collector:
    """Keeps what the tables need of every utterance, and the waves of a few examples alone.

    Examples are spread over the conditions and emotions of the test set, the same on every run.
    """

    def __init__(self, test_set, labels, n_examples):
        self.labels, self.utterances, self.examples = labels, [], []
        self.wanted = example_ids(test_set, labels, n_examples)

    def add(self, output):
        """Takes an output; returns its waves (clean, noisy, enhanced) for scoring."""
        waves = [output.pop(name) for name in ("clean", "noisy", "enhanced")]
        clean, noisy, enhanced = waves
        self.utterances.append(output)
        if output["id"] in self.wanted:
            p = output["probabilities"]
            self.examples.append(
                Example(
                    name=output["utterance"],
                    label=self.labels[output["truth"]] if self.labels else NO_EMOTION,
                    predicted=None if p is None else self.labels[int(p.argmax())],
                    probabilities={} if p is None else dict(zip(self.labels, map(float, p))),
                    noise_set=output["noise_set"],
                    snr_db=output["snr_db"],
                    noisy=noisy,
                    enhanced=enhanced,
                    clean=clean,
                    sample_rate=SAMPLE_RATE,
                    experts={task: chosen[:, 0] for task, chosen in output["experts"].items()},
                )
            )
        return tuple(waves)


def example_ids(test_set, labels, n_examples):
    """Ids of examples: noisy conditions and emotions in turn, different utterances."""
    entries = test_set.data
    noisy = [entry for entry in entries.values() if entry["noise_set"] is not None]
    conditions = sorted({(entry["asked_snr_db"], entry["noise_set"]) for entry in noisy})
    step = max(1, len(conditions) // max(1, n_examples))
    chosen, used = [], set()
    for index in range(n_examples if conditions else 0):
        snr_db, noise_set = conditions[index * step % len(conditions)]
        for name, entry in sorted(entries.items()):
            if (
                (entry["asked_snr_db"], entry["noise_set"]) == (snr_db, noise_set)
                and (not labels or entry["emo"] == labels[index % len(labels)])
                and entry["utterance"] not in used
            ):
                chosen.append(name)
                used.add(entry["utterance"])
                break
    return set(chosen)


def condition_rows(utterances, scores, labels, attributes=()):
    """One row a condition, with the keys of ``metrics.json``; what a system lacks is None.

    Where there are attributes, rows also hold ``ccc`` and ``ccc_by_attribute``.
    """
    by_condition = {}
    for utterance, score in zip(utterances, scores):
        key = (utterance["noise_set"], utterance["snr_db"])
        by_condition.setdefault(key, []).append((utterance, score))
    rows = []
    for (noise_set, snr_db), members in by_condition.items():
        row = {"noise_set": noise_set, "snr_db": snr_db, "n": len(members)}
        row.update(dict.fromkeys(EMOTION_KEYS + ENHANCEMENT_KEYS))
        of_all, scores_of_all = zip(*members)
        if of_all[0]["probabilities"] is not None:
            row.update(emotion_row(of_all, labels))
        if of_all[0]["rated"] is not None:
            pairs = [[u[key] for u in of_all] for key in ("ratings", "rated")]
            row.update(attribute_scores(*pairs, attributes))
        if scores_of_all[0] is not None:
            row.update(mean_scores(scores_of_all))
        rows.append(row)
    return rows


def rows_by_corpus(utterances, scores, labels, attributes=()):
    """``{corpus: rows}`` of a test set that joins several corpora; of one corpus, empty."""
    members = {}
    for utterance, score in zip(utterances, scores):
        members.setdefault(utterance["corpus"], []).append((utterance, score))
    if len(members) < 2:
        return {}
    return {
        name: condition_rows(*zip(*pairs), labels, attributes) for name, pairs in members.items()
    }


def emotion_row(utterances, labels):
    """The emotion metrics of one condition."""
    truth = np.array([u["truth"] for u in utterances])
    probabilities = np.stack([u["probabilities"] for u in utterances])
    scores = emotion_scores(truth, probabilities, labels)
    speakers = [u["speaker"] for u in utterances]
    interval = bootstrap_f1(truth, probabilities.argmax(axis=1), speakers, len(labels))
    return {**scores, "f1_macro_ci": list(interval)}


def expert_use(utterances, labels):
    """Share of each expert by task, condition and emotion (None: all), for the report."""
    counts = {}
    for utterance in utterances:
        for task, chosen in utterance["experts"].items():
            use = np.bincount(chosen.ravel(), minlength=utterance["n_experts"][task])
            for emotion in [None] + [utterance["truth"]] * bool(labels):
                key = (task, utterance["noise_set"], utterance["snr_db"], emotion)
                counts[key] = counts.get(key, 0) + use
    return [
        {
            "task": task,
            "noise_set": noise_set,
            "snr_db": snr_db,
            "emotion": None if emotion is None else labels[emotion],
            "shares": (use / use.sum()).tolist(),
        }
        for (task, noise_set, snr_db, emotion), use in counts.items()
    ]


def summary(hparams, model):
    """What the head of the report says about the run."""
    counts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "of these in the encoder": sum(p.numel() for p in model.encoder.parameters()),
    }
    names = ("system", "corpus", "encoder", "seed", "number_of_epochs", "test_seed")
    command = "python " + shlex.join(sys.argv)
    return {**{name: hparams[name] for name in names}, **counts, "command": command}
