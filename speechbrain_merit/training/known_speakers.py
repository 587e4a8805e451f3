"""Whether a model has met the speakers of a test before: on these it looks better than it is."""

import hashlib
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.names import some
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.export.loading import HEARD, HPARAMS
from speechbrain_merit.training.settings import plain_values

logger = get_logger(__name__)

MARK = "sha256:"  # of what stands for a speaker
#: Keys of a run that may name another one, whose weights it then has.
ORIGINS = ("start_from", "encoder", "enhancer", "classifier", "heads_folder")


def known_speakers(heard, tested):
    """How many speakers of a test were heard before; says so in a warning.

    Arguments
    ---------
    heard, tested : set
        Of (corpus, speaker), as `trained_on` and `speakers` give them.

    Returns
    -------
    str or None
        None where there are none.

    Example
    -------
    >>> known_speakers({("RAVDESS", "01"), ("RAVDESS", "02")}, {("RAVDESS", "02"), ("nEMO", "02")})
    '1 of 2'
    """
    known = sorted(one for one in tested if one in heard or (one[0], digest(*one)) in heard)
    if not known:
        return None
    count = f"{len(known)} of {len(tested)}"
    logger.warning(
        f"{count} speakers of this test are ones that the model was trained or chosen on: "
        f"{some(f'{speaker} ({corpus})' for corpus, speaker in known)}. What is measured is not "
        "how well voices are understood that were never heard."
    )
    return count


def trained_on(folder):
    """The speakers that a run, and those that it grew from, were trained or chosen on.

    Arguments
    ---------
    folder : str or Path
        Of a run, or ``pretrained`` in it; a pretrained folder elsewhere tells digests. Others do
        not tell: none.

    Returns
    -------
    set
        Of (corpus, speaker), or of (corpus, `digest` of both).
    """
    folder = Path(folder).expanduser()
    run = folder.parent if folder.name == "pretrained" else folder
    if not (run / HPARAMS).is_file() or not (run / "save").is_dir():
        return told_by(folder)
    keys = plain_values(run / HPARAMS)
    manifests = [run / "save" / f"{split}.json" for split in ("train", "valid")]
    return grown_from(keys).union(*(speakers(path, keys.get("corpus")) for path in manifests))


def told_by(folder):
    """What the YAML of a pretrained folder says of the speakers it heard, as (corpus, digest)."""
    if not (folder / HPARAMS).is_file():
        return set()
    told = plain_values(folder / HPARAMS).get(HEARD) or {}
    return {(corpus, one) for corpus, digests in told.items() for one in digests}


def to_tell(heard):
    """What a pretrained folder says of the speakers that were heard: corpus → digests, sorted.

    Digests and not names: a folder goes to others, and a name may be a patient's.

    Example
    -------
    >>> to_tell({("RAVDESS", "01"), ("RAVDESS", "02")})
    {'RAVDESS': ['sha256:f8a1ca7875ecff69', 'sha256:ff21e78f675fc96b']}
    """
    told = {}
    for corpus, speaker in heard:
        of_digest = speaker.startswith(MARK)
        told.setdefault(corpus, []).append(speaker if of_digest else digest(corpus, speaker))
    return {corpus: sorted(told[corpus]) for corpus in sorted(told)}


def digest(corpus, speaker):
    """Stands for a speaker of a corpus."""
    return MARK + hashlib.sha256(f"{corpus}/{speaker}".encode()).hexdigest()[:16]


def grown_from(keys):
    """The speakers that those runs heard which a run's keys name: its start, a cascade's parts."""
    return set().union(*(trained_on(keys[key]) for key in ORIGINS if keys.get(key)))


def speakers(manifest, corpus):
    """The speakers of a manifest, as (corpus, speaker); none where the manifest is gone.

    Arguments
    ---------
    manifest : str or Path
        Of one corpus, or of several joined, whose rows name theirs.
    corpus : str
        Of those rows that do not.

    Example
    -------
    >>> from speechbrain_merit.data.manifests import write_manifest
    >>> path = Path(getfixture("tmpdir")) / "both.json"
    >>> row = {"wav": "x.wav", "duration": 1.0}
    >>> joined = {**row, "spk_id": "RAVDESS_01", "corpus": "RAVDESS"}
    >>> write_manifest(path, {"a": {**row, "spk_id": "7"}, "b": joined, "c": row})
    >>> sorted(speakers(path, "/path/to/my_corpus"))
    [('RAVDESS', '01'), ('my_corpus', '7')]
    """
    if not Path(manifest).is_file():
        return set()
    found = set()
    for row in load_manifest(manifest).values():
        if row.get("spk_id") is not None:
            of = row.get("corpus") or Path(str(corpus).strip()).name
            found.add((of, str(row["spk_id"]).removeprefix(f"{of}_")))
    return found
