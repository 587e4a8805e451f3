"""Utterances to look at and listen to, and where they are kept: ``evaluation/examples/*.npz``.

Of these few alone the waves and the path through the experts are kept, so that the page can be made
again without the model and without the recordings.
"""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speechbrain_merit.errors import PredictionsError
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE
from speechbrain_merit.writing import whole

EXAMPLES = "examples"
NO_EMOTION = "unlabelled"  # of an example, where the system names none
WAVES = ("noisy", "enhanced", "clean")
PATH = "experts_"  # before the name of a task


@dataclass
class Example:
    """One utterance to look at and listen to.

    Arguments
    ---------
    name : str
        Utterance.
    label : str or None
        True emotion.
    predicted : str or None
        Emotion that the system gives, None for systems without emotion.
    probabilities : dict
        Probability of each emotion; may be empty.
    noise_set : str or None
        Noise set of the mixture, None for clean.
    snr_db : float or None
        SNR of the mixture in dB, None for clean.
    noisy : np.ndarray
        Input of the system, (samples,).
    enhanced : np.ndarray or None
        Output, (samples,); None for systems without enhancement.
    clean : np.ndarray
        Reference, (samples,).
    sample_rate : int
        In Hz.
    experts : dict
        For each task the expert of each frame, int array (T,), 50 frames a second; empty for
        systems without routing.

    Example
    -------
    >>> wave = np.zeros(16000, dtype=np.float32)
    >>> Example("utt1", "sad", "sad", {"sad": 1.0}, "street", 0, wave, None, wave).sample_rate
    16000
    """

    name: str
    label: str | None
    predicted: str | None
    probabilities: dict
    noise_set: str | None
    snr_db: float | None
    noisy: np.ndarray
    enhanced: np.ndarray | None
    clean: np.ndarray
    sample_rate: int = SAMPLE_RATE
    experts: dict = field(default_factory=dict)


def save_example(folder, row, waves, experts):
    """Keeps an example on disk, whole or not at all.

    Arguments
    ---------
    folder : str or Path
        Of the evaluation.
    row : dict
        Of the predictions.
    waves : dict
        ``noisy``, ``enhanced`` and ``clean``, each (samples,) in float32; None is left out.
    experts : dict
        Task → expert of each frame, int (T,).

    Example
    -------
    >>> folder, wave = getfixture("tmpdir"), np.zeros(16000, dtype=np.float32)
    >>> row = {"index": 3, "id": "a|None|None", "utterance": "a", "label": "sad", "noise_set": None,
    ...        "snr_db": None, "probabilities": None}
    >>> save_example(folder, row, {"noisy": wave, "enhanced": None, "clean": wave}, {})
    >>> example = load_example(saved_examples(folder)[3], row, ["sad"])
    >>> example.name, example.label, example.enhanced
    ('a', 'sad', None)
    """
    arrays = {name: wave for name, wave in waves.items() if wave is not None}
    arrays |= {PATH + task: path.astype(np.uint16) for task, path in experts.items()}
    with whole(Path(folder) / EXAMPLES / f"{row['index']:07d}.npz") as partial:
        with open(partial, "wb") as file:  # a path would be given another ending
            np.savez(file, **arrays)


def saved_examples(folder):
    """The examples of an evaluation's folder: place in the test set → file."""
    paths = sorted((Path(folder) / EXAMPLES).glob("*.npz"))
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def delete_examples(folder):
    """Deletes the examples of an evaluation's folder."""
    for path in saved_examples(folder).values():
        path.unlink()


def load_example(path, row, labels):
    """Reads an example; what is no wave of it stands in the row of the predictions.

    Arguments
    ---------
    path : Path
        From `saved_examples`.
    row : dict
        Of the predictions.
    labels : list of str
        Names of the emotions, in the order of the probabilities.

    Returns
    -------
    Example

    Raises
    ------
    PredictionsError
        The file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        waves = {name: arrays.pop(name) for name in WAVES if name != "enhanced"}
        waves["enhanced"] = arrays.pop("enhanced", None)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PredictionsError(
            f"{path} cannot be read ({error}): delete it, and the page is made without it."
        ) from error
    p = row["probabilities"]
    return Example(
        name=row["utterance"],
        label=row["label"] if labels else NO_EMOTION,
        predicted=None if p is None else labels[int(np.argmax(p))],
        probabilities={} if p is None else dict(zip(labels, p)),
        noise_set=row["noise_set"],
        snr_db=row["snr_db"],
        experts={name.removeprefix(PATH): path for name, path in arrays.items()},
        **waves,
    )


def example_ids(test_set, batches, labels, n_examples):
    """Ids of examples: noisy conditions and emotions in turn, different utterances.

    They are spread over the conditions and emotions of what is scored, the same on every run.
    """
    names = sorted(test_set.data_ids[index] for batch in batches for index in batch)
    entries = map(test_set.data.__getitem__, names)
    conditions = {(entry["asked_snr_db"], entry["noise_set"]) for entry in entries}
    conditions = {condition for condition in conditions if condition[0] is not None}
    conditions = sorted(conditions)
    step = max(1, len(conditions) // max(1, n_examples))
    chosen, used = [], set()
    for index in range(n_examples if conditions else 0):
        snr_db, noise_set = conditions[index * step % len(conditions)]
        for name in names:
            entry = test_set.data[name]
            if (
                (entry["asked_snr_db"], entry["noise_set"]) == (snr_db, noise_set)
                and (not labels or entry["emo"] == labels[index % len(labels)])
                and entry["utterance"] not in used
            ):
                chosen.append(name)
                used.add(entry["utterance"])
                break
    return set(chosen)


def examples_kept(outputs, folder, wanted):
    """Yields outputs on; keeps those with an id in ``wanted`` on disk."""
    for output in outputs:
        if output.row["id"] in wanted:
            save_example(folder, output.row, output.waves, output.experts)
        yield output
