"""Speech through Opus and MP3: rows beside a benchmark, whose samples belong to no test.

Encoders are floating point and differ from version to version, so these rows have no part in
``--verify``, in the committed hashes or in the leaderboard; what a system scores under them stands
beside the rest of its own table.
"""

import io

import numpy as np
import soundfile as sf

from speechbrain_merit.data.exact.filters import RATE
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.evaluation.summary import INEXACT

#: Container and coding, by libsndfile's names, and its compression for each severity.
CODECS = {
    "opus": ("OGG", "OPUS", (0.9, 0.97, 1.0)),
    "mp3": ("MP3", "MPEG_LAYER_III", (0.8, 0.9, 0.95)),
}
assert tuple(CODECS) == INEXACT  # what evaluation leaves out of a comparison
LATE = 1105  # samples, of MP3's encoder and decoder, where the file does not tell how many


def check_codecs(names):
    """Raises SettingsError for a codec that is unknown, or that this libsndfile lacks."""
    for name in names:
        if name not in CODECS:
            raise SettingsError(f"--also takes {' and '.join(CODECS)}, and not {name}.")
        container, coding, _ = CODECS[name]
        if coding not in sf.available_subtypes(container):
            raise SettingsError(
                f"--also {name}: this libsndfile ({sf.__libsndfile_version__}) cannot write it."
            )


def compressed(samples, codec, severity):
    """What a codec leaves of speech, of the same length and in time.

    Arguments
    ---------
    samples : np.ndarray
        (S,) int16 at 16 kHz.
    codec : str
        ``opus`` or ``mp3``.
    severity : int
        1 to 3: stronger compression.

    Returns
    -------
    np.ndarray
        (S,) int16.

    Example
    -------
    >>> wave = (8000 * np.sin(np.arange(16000) / 7)).astype(np.int16)
    >>> coded = compressed(wave, "opus", 3)
    >>> len(coded), bool((coded != wave).any())
    (16000, True)
    """
    container, coding, levels = CODECS[codec]
    level, file = levels[severity - 1], io.BytesIO()
    mode = "CONSTANT" if codec == "mp3" else None
    options = {"format": container, "compression_level": level, "bitrate_mode": mode}
    sf.write(file, samples, RATE, coding, **options)
    file.seek(0)
    found = sf.read(file, dtype="int16")[0]
    if codec == "mp3" and len(found) >= len(samples) + LATE:
        found = found[LATE:]
    return np.pad(found, (0, max(0, len(samples) - len(found))))[: len(samples)]
