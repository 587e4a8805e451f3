"""The model card of an exported model: what it is for, what it was trained on, how good it is.

Its YAML head is written by ``huggingface_hub``; nothing is asked of the network.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

#: In the ``save`` folder of a run: an entry for each corpus, with those of `FACTS` that it gives.
CORPORA = "corpora.json"
#: Keys of a ``corpus.yaml`` that are for the model card alone.
FACTS = ("licence", "language", "citation")
UNKNOWN = "ask its owners"
#: In the licence of data, or the card of a model, that allow no commercial use.
NON_COMMERCIAL = ("not for commercial use", "no commercial use", "license: cc-by-nc")
TAGS = ["speech-enhancement", "speech-emotion-recognition", "speechbrain_merit"]

#: Task and metric as the hub names them → keys of ``metrics.json`` and their titles.
METRICS = {
    ("audio-classification", "f1"): ("f1_macro", "F1-macro"),
    ("audio-classification", "recall"): ("uar", "UAR"),
    ("audio-classification", "ccc"): ("ccc", "CCC"),
    ("audio-to-audio", "pesq"): ("pesq", "PESQ"),
    ("audio-to-audio", "stoi"): ("stoi", "STOI"),
    ("audio-to-audio", "si-sdr"): ("si_sdr", "SI-SDR (dB)"),
    ("audio-to-audio", "ssnr"): ("ssnr", "SSNR (dB)"),
}

TEMPLATE = """\
---
{head}
---

# {title}

Speech emotion recognition that works in noise, and the cleaned speech with it: {system} on the
encoder `{encoder}`, trained on {corpora} with speechbrain_merit {version}.
{warning}
```python
from speechbrain_merit.inference import MeritInterface

merit = MeritInterface.from_hparams(source="this folder")
analysis = merit.analyse_file("recording.wav", output_filename="enhanced.wav")
print(analysis.emotion, analysis.probabilities, analysis.segments, analysis.snr_db)
```

or `merit analyse recording.wav --model "this folder"`. The weights are stored as {precision}.

## Training data

| Corpus | Licence of the data | To cite |
| --- | --- | --- |
{data}
{start}
{noise}

Emotions: {labels}. {calibration}

## Results

{results}

## Intended use

Research on emotional speech, and statistics over many recordings of consenting people. Cleaning
speech for listening.

## Limits

- Acted emotions and few speakers are not how people speak: on other voices, languages and rooms,
  expect worse than the table, and measure before you rely on it.
- One of {n_labels} labels is the answer wherever speech is heard, also where none of them fits.
- What a voice sounds like is no proof of what a person feels. Not for judging people: hiring,
  insurance, law enforcement, education, health.
- Enhancement keeps the phase of the noisy input and can remove weak speech.
"""


@dataclass(frozen=True)
class Run:
    """What a run left for the card of its model."""

    #: ``{corpus: {licence, language, citation}}``, each of them where the corpus gives it
    corpora: dict = field(default_factory=dict)
    #: of ``metrics.json``, one a condition
    rows: tuple = ()
    #: ``metrics.md``, Markdown; None where the run was not scored
    tables: str | None = None

    @classmethod
    def left_in(cls, folder):
        """Reads the folder of a run; what is not there is left out."""
        folder = Path(folder)
        corpora, rows = folder / "save" / CORPORA, folder / "evaluation" / "metrics.json"
        tables = rows.with_suffix(".md")
        return cls(
            corpora=json.loads(corpora.read_text(encoding="utf-8")) if corpora.is_file() else {},
            rows=tuple(json.loads(rows.read_text(encoding="utf-8"))) if rows.is_file() else (),
            tables=tables.read_text(encoding="utf-8") if tables.is_file() else None,
        )


def closes(text):
    """Whether a licence, or the card of a model, allows no commercial use.

    Example
    -------
    >>> closes("CC BY-NC-ND 4.0: no commercial use, no derivatives"), closes("CC0 1.0")
    (True, False)
    """
    return any(words in text for words in NON_COMMERCIAL)


def card_of_start(hparams):
    """Name and card of the model of this package that a run started from; None without one.

    Its encoder may be all that was taken. Where the folder is gone, the card is empty.
    """
    for key in filter(hparams.get, ("start_from", "encoder")):
        given = Path(str(hparams[key])).expanduser()
        for folder in (given / "pretrained", given):
            if (folder / "label_encoder.txt").is_file():
                card = folder / "README.md"
                return given.name, card.read_text(encoding="utf-8") if card.is_file() else ""
        if key == "start_from":
            return given.name, ""
    return None


def model_card(hparams, run=None, precision="fp32", temperature=None, reason=None):
    """The text of a model card.

    Arguments
    ---------
    hparams : dict
        Of the run: ``system``, ``corpus``, ``encoder``, ``labels``, ``train_snr_db``.
    run : Run, optional
        What the run left beside the model.
    precision : str
        What the weights are stored as.
    temperature : float, optional
        Of the calibration.
    reason : str, optional
        Why there was no calibration.

    Returns
    -------
    str
        Markdown.

    Example
    -------
    >>> corpora = {"nEMO": {"licence": "CC BY-NC-SA 4.0: not for commercial use"}}
    >>> card = model_card({"system": "merit", "corpus": "nEMO", "encoder": "a/whisper-tiny.en",
    ...                    "labels": ["sad", "happy"], "train_snr_db": [-5, 15]}, Run(corpora))
    >>> [line for line in card.splitlines() if line.startswith("| nEMO")]
    ['| nEMO | CC BY-NC-SA 4.0: not for commercial use | ask its owners |']
    """
    from speechbrain_merit import __version__

    run = run or Run()
    names = [Path(name.strip()).name for name in str(hparams["corpus"]).split(",")]
    corpora = {name: run.corpora.get(name, {}) for name in names}
    title = f"{hparams['system']} on {' and '.join(corpora)}"
    corpora_and_speech = corpora | {name: {} for name in hparams.get("speech_folders") or {}}
    start = card_of_start(hparams)
    closed = any(closes(facts.get("licence", "")) for facts in corpora.values())
    closed = closed or (start is not None and closes(start[1]))
    low, high = hparams["train_snr_db"]
    labels = list(hparams["labels"])
    results = (run.tables or "The run was not scored on test speakers.").strip()
    calibrated = (
        f"Probabilities are calibrated on the validation speakers (T = {temperature or 1:.3f})."
    )
    return TEMPLATE.format(
        head=yaml_head(title, corpora, closed, run.rows),
        title=title,
        system=hparams["system"],
        encoder=Path(str(hparams["encoder"])).name,
        corpora=" and ".join(corpora),
        version=__version__,
        warning="\n**Its training data allow non-commercial use only.**\n" if closed else "",
        precision=precision,
        data="\n".join(map(data_row, corpora_and_speech, corpora_and_speech.values())),
        start=""
        if start is None
        else f"\nIt started from `{start[0]}`: what that one was trained on, and the licences of "
        "it, count here too.\n",
        noise=f"Noise was mixed in at {low} to {high} dB; "
        f"{100 * hparams.get('clean_share', 0):.0f} % of the utterances were left clean.",
        labels=", ".join(labels) or "none",
        n_labels=len(labels),
        calibration=calibrated
        if reason is None
        else f"Probabilities are not calibrated: {reason}.",
        results=results.replace("\n## ", "\n### "),  # one level below the card's own
    )


def data_row(name, facts):
    """The row of a corpus in the table of the training data.

    Example
    -------
    >>> data_row("Mine", {"licence": "CC BY 4.0"})
    '| Mine | CC BY 4.0 | ask its owners |'
    """
    cells = [name, *(facts.get(key) or UNKNOWN for key in ("licence", "citation"))]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def yaml_head(title, corpora, closed, rows):
    """The YAML head of a card, as the Hugging Face hub reads it.

    Arguments
    ---------
    title : str
        The model's name.
    corpora : dict
        ``{corpus: facts}``, as of :class:`Run`.
    closed : bool
        Whether the data forbid commercial use.
    rows : iterable of dict
        Of ``metrics.json``.

    Returns
    -------
    str
        YAML, with a result for each metric and condition that was scored.
    """
    languages = [code for facts in corpora.values() for code in facts.get("language") or []]
    results = list(eval_results(" and ".join(corpora), rows)) or None
    return ModelCardData(
        language=list(dict.fromkeys(languages)) or None,
        library_name="speechbrain",
        tags=TAGS,
        license="cc-by-nc-sa-4.0" if closed else "other",
        datasets=list(corpora),
        model_name=title if results else None,
        eval_results=results,
    ).to_yaml()


def eval_results(corpus, rows):
    """Yields a result for each metric and condition, in the words of the hub.

    Example
    -------
    >>> row = {"noise_set": "street", "snr_db": -5, "f1_macro": 0.5, "si_sdr": None}
    >>> [(r.dataset_name, r.metric_name, r.metric_value) for r in eval_results("nEMO", [row])]
    [('nEMO, street, -5 dB', 'F1-macro', 0.5)]
    """
    for row in rows:
        noise = row["noise_set"]
        condition = "clean" if noise is None else f"{noise}, {row['snr_db']:g} dB"
        for (task, metric), (key, name) in METRICS.items():
            value = row.get(key)
            if value is None or not math.isfinite(value):
                continue
            yield EvalResult(
                task_type=task,
                dataset_type=corpus,
                dataset_name=f"{corpus}, {condition}",
                dataset_config=condition,
                dataset_split="test",
                metric_type=metric,
                metric_name=name,
                metric_value=value,
            )
