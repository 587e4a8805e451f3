"""A built benchmark, read back: its items in the order in which they are scored, and its waves."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.noisyemo.build import NOTE, clean_part, read_flac
from speechbrain_merit.data.noisyemo.manifest import BESIDE, NAME, read_manifest
from speechbrain_merit.data.noisyemo.published import sha256
from speechbrain_merit.errors import AudioError, PreparationError


class Item(NamedTuple):
    """An utterance under a condition; ``noise_set`` is None for clean speech.

    A distortion stands in ``noise_set`` with its severity behind it and has no SNR.
    """

    file: str
    utterance: str
    speaker: str
    label: str
    noise_set: str | None
    snr_db: int | None
    samples: int
    factor: int

    @property
    def id(self):
        """Utterance and condition in one name."""
        return f"{self.utterance}|{self.noise_set}|{self.snr_db}"


class Benchmark:
    """A benchmark's folder.

    Arguments
    ---------
    folder : str or Path
        As ``noisyemo.py`` built it.

    Attributes
    ----------
    items, beside : list of Item
        The test, and what lossy codecs left of its clean speech, in no comparison.
    digest : str
        Of the samples of all that is heard, but for rows beside the test: equal where two are the
        same test.

    Raises
    ------
    PreparationError
        It is no whole benchmark.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        rows = [row for row in read_manifest(self.folder) if row["kind"] != "noise"]
        test = [row for row in rows if row["kind"] != BESIDE]
        self.hashes = {row["file"]: row["sha256"] for row in rows}
        heard = "".join(f"{row['file']} {row['sha256']}\n" for row in test)
        self.digest = hashlib.sha256(heard.encode()).hexdigest()
        note = self.folder / NOTE
        try:
            said = json.loads(note.read_text(encoding="utf-8"))
            self.corpus = said["corpus"]
            self.labels = list(dict.fromkeys(said["emotions"].values()))
        except (OSError, ValueError, KeyError) as error:
            raise PreparationError(f"{note} cannot be read: build the benchmark again.") from error
        try:
            order = self._order(said)
            self.items = sorted(map(_item, test), key=order)
            others = (row for row in rows if row["kind"] == BESIDE)
            self.beside = sorted(map(_item, others), key=order)
        except ValueError as error:
            raise PreparationError(
                f"{self.folder / NAME} is damaged ({error}): build the benchmark again."
            ) from error

    @property
    def name(self):
        """What results on it are called by."""
        return f"NoisyEmo-{self.corpus}"

    @property
    def baseline(self):
        """Where the committed predictions of the baseline on it are, if there are any."""
        return self.committed("baseline")

    def committed(self, name):
        """Where the leaderboard has the committed predictions of a row, if there are any."""
        return RECIPES / "NoisyEmo" / "leaderboard" / self.corpus / f"{name}.jsonl.xz"

    @staticmethod
    def _order(said):
        """Clean speech, noise sets by SNR, distortions by severity; in each, the longest first."""
        sets = [None, *said["noises"], *said["folders"]]

        def order(item):
            place = sets.index(item.noise_set) if item.noise_set in sets else len(sets)
            behind = "" if item.snr_db is not None or place == 0 else item.noise_set
            return place, behind, item.snr_db or 0, -item.samples, item.utterance

        return order

    def noisy(self, item):
        """What is heard: (S,) float32, full scale 1."""
        return self.samples(item.file).astype(np.float32) / np.float32(32768)

    def clean(self, item):
        """The clean speech in it, at its level there: (S,) float32."""
        samples = self.samples(f"clean/{item.utterance}.flac")
        return clean_part(samples, item.factor).astype(np.float32)

    def samples(self, file):
        """The int16 samples of a file, (S); raises AudioError where they are not its own."""
        samples = read_flac(self.folder / file)
        if sha256(samples) != self.hashes.get(file):
            raise AudioError(
                f"{self.folder / file}: its samples are not those that were written. Delete it, "
                "and give the command again that built it."
            )
        return samples


def _item(row):
    """The item of a row of the manifest."""
    snr = int(row["level"]) if row["kind"] == "noisy" else None
    name = {"clean": None, "noisy": row["condition"]}.get(
        row["kind"], f"{row['condition']} {row['level']}"
    )
    factor, samples = int(row["factor"] or 32768), int(row["samples"])
    own = row["utterance"], row["speaker"], row["label"]
    return Item(row["file"], *own, name, snr, samples, factor)
