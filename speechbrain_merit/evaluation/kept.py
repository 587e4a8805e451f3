"""How much emotion an enhancer keeps: probes on its output against the same on the noisy input."""

from pathlib import Path

import numpy as np

from speechbrain_merit.evaluation.predictions import read_predictions
from speechbrain_merit.evaluation.report.tables import condition, number, to_json
from speechbrain_merit.evaluation.significance import f1_difference
from speechbrain_merit.writing import write_text


def write_kept(folder, probes):
    """Writes ``kept.json`` and ``kept.md`` above a folder of both probes' predictions.

    Arguments
    ---------
    folder : str or Path
        Holds ``<probe>_noisy.jsonl.xz`` and ``<probe>_enhanced.jsonl.xz``.
    probes : sequence of str
        Names of the probes.

    Returns
    -------
    list
        A dict for each probe and condition, see `kept`.
    """
    folder, found = Path(folder), []
    for probe in probes:
        files = (folder / f"{probe}_{signal}.jsonl.xz" for signal in ("noisy", "enhanced"))
        (header, noisy), (_, enhanced) = map(read_predictions, files)
        found += [{"probe": probe, **row} for row in kept(header["labels"], noisy, enhanced)]
    write_text(folder.parent / "kept.json", to_json(found))
    write_text(folder.parent / "kept.md", to_markdown(found))
    return found


def kept(labels, noisy, enhanced):
    """Paired F1-macro of one classifier on noisy and on enhanced sound, condition by condition.

    Arguments
    ---------
    labels : list of str
        In the order of the probabilities.
    noisy, enhanced : iterable of dict
        Rows of predictions of the same test set, in the same order.

    Returns
    -------
    list
        ``noise_set``, ``snr_db``, ``f1_noisy``, ``f1_enhanced`` and ``difference``, ``low``,
        ``high``, ``p`` and ``reason`` of `f1_difference`; the last one is over all noise sets and
        SNRs, its ``noise_set`` ``all noise``.
    """
    groups = {}
    for before, after in zip(noisy, enhanced, strict=True):
        name = before["noise_set"], before["snr_db"]
        for key in [name] + [("all noise", None)] * (before["snr_db"] is not None):
            groups.setdefault(key, []).append((before, after))
    everything = groups.pop(("all noise", None), None)
    if everything:
        groups["all noise", None] = everything
    return [
        {"noise_set": name, "snr_db": snr, **_compared(labels, pairs)}
        for (name, snr), pairs in groups.items()
    ]


def _compared(labels, pairs):
    """The comparison of one condition."""
    truth = np.array([labels.index(before["label"]) for before, _ in pairs])
    before, after = (np.array([p[i]["probabilities"] for p in pairs]).argmax(1) for i in (0, 1))
    speakers = [row["speaker"] for row, _ in pairs]
    found = f1_difference(truth, after, before, speakers, len(labels))
    f1 = f1_difference(truth, truth, before, speakers, len(labels))["difference"]
    f1_noisy = 1 - f1  # the truth against itself has an F1 of 1
    return {"f1_noisy": f1_noisy, "f1_enhanced": f1_noisy + found["difference"], **found}


def to_markdown(rows):
    """A table of both probes."""
    lines = ["| probe | condition | F1 noisy | F1 enhanced | difference |", "|" + " --- |" * 5]
    for row in rows:
        values = [number(row[key], 3) for key in ("f1_noisy", "f1_enhanced", "difference")]
        if row["low"] is not None:
            values[2] += f" [{number(row['low'], 2)}, {number(row['high'], 2)}]"
        lines.append(f"| {row['probe']} | {condition(row)} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"
