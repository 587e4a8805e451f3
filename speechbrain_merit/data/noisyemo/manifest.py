"""``manifest.csv``: a row for each file of a benchmark, with the SHA-256 of its samples.

================= ================================================================================
``file``          below the benchmark's folder, FLAC, 16 kHz, int16
``kind``          ``noise``, ``clean``, ``noisy`` or ``distorted``; ``beside``: outside the test
``sha256``        of rate, shape and little-endian bytes of the samples: see `published.sha256`
``samples``       their number
``utterance`` …   ``speaker`` and ``label``: who says it how; empty for noise
``condition``     noise set or distortion
``level``         SNR in dB, or severity
``factor``        by which speech and noise were multiplied so that they fit into int16, × 2¹⁵
``noise``         file of the noise that was mixed in
``source``        the published file, below its folder
``source_sha256`` of its samples as published; of babble, of those of all of its voices
================= ================================================================================
"""

import csv
import io
from pathlib import Path

from speechbrain_merit.errors import PreparationError
from speechbrain_merit.writing import write_text

NAME = "manifest.csv"
BESIDE = "beside"  # the kind of rows that hold for one machine alone
COLUMNS = ("file", "kind", "sha256", "samples", "utterance", "speaker", "label", "condition")
COLUMNS += ("level", "factor", "noise", "source", "source_sha256")


def write_manifest(folder, rows):
    """Writes the rows, sorted by file, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["file"]))
    write_text(Path(folder) / NAME, text.getvalue())


def read_manifest(folder):
    """The rows of a benchmark's folder, or of a manifest by its path: a list of dicts of text.

    Raises
    ------
    PreparationError
        There is no manifest, or it is none.
    """
    path = Path(folder)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise PreparationError(
            f"{path} is missing: {folder} is no whole benchmark. Build it, or go on building it, "
            "with: python recipes/NoisyEmo/noisyemo.py"
        )
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PreparationError(f"{path} is no text: build the benchmark again.") from error
    if not rows or tuple(rows[0]) != COLUMNS or any(None in row.values() for row in rows):
        raise PreparationError(f"{path} is no manifest of NoisyEmo: build the benchmark again.")
    if len({row["file"] for row in rows}) < len(rows):
        raise PreparationError(f"{path} lists a file twice: build the benchmark again.")
    return rows
