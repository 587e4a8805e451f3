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
NON_COMMERCIAL = ("not for commercial use", "no commercial use", "by-nc", "by nc", "non-commercial")
NON_COMMERCIAL += ("noncommercial", "non commercial")
#: Task of a head → its tag, and what a model with this head alone is.
TAGS = {"se": "speech-enhancement", "ser": "speech-emotion-recognition"}
ALONE = {"se": "Speech enhancement", "ser": "Speech emotion recognition that works in noise"}
#: Keys whose value may be a model of this package that the weights come from, not all of it there.
STARTS = ("start_from", "heads_folder", "enhancer", "classifier", "encoder")

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

{what}: {system} {parts}, trained on {corpora} with speechbrain_merit {version}.
{warning}
```python
from speechbrain_merit.inference import MeritInterface

merit = MeritInterface.from_hparams(source="this folder")
{call}
```

or `merit analyse recording.wav --model "this folder"`. The weights are stored as {precision}.

## Training data

| Corpus | Licence of the data | To cite |
| --- | --- | --- |
{data}
{start}
{noise}

{emotions}## Results

{results}

## Intended use

{use}

## Limits

- Acted emotions and few speakers are not how people speak: on other voices, languages and rooms,
  expect worse than the table, and measure before you rely on it.
{limits}
"""

#: What of it is of one task, in the order of the card.
CALL = {
    "se": 'enhanced = merit.enhance_file("recording.wav", output_filename="enhanced.wav")',
    "ser": """\
analysis = merit.analyse_file("recording.wav")
print(analysis.emotion, analysis.probabilities, analysis.segments)""",
    "both": """\
analysis = merit.analyse_file("recording.wav", output_filename="enhanced.wav")
print(analysis.emotion, analysis.probabilities, analysis.segments, analysis.snr_db)""",
}
USE = {
    "ser": "Research on emotional speech; statistics over many recordings of consenting people.",
    "se": "Cleaning speech for listening.",
}
LIMITS = {
    "ser": """\
- One of {n_labels} labels is the answer wherever speech is heard, also where none of them fits.
- What a voice sounds like is no proof of what a person feels. Not for judging people: hiring,
  insurance, law enforcement, education, health.""",
    "se": "- Enhancement keeps the phase of the noisy input and can remove weak speech.",
}


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
    return any(words in text.lower() for words in NON_COMMERCIAL)


def starts_of(hparams):
    """Name and card of each model of this package that a run's weights come from, a list.

    Of some the encoder is all that was taken. Where a folder is gone, its card is empty.
    """
    found, keys = {}, list(STARTS)
    if hparams.get("classifier"):
        keys.remove("encoder")  # of a fresh classifier, which there is none of
    for key in filter(hparams.get, keys):
        given = Path(str(hparams[key])).expanduser()
        folders = (given / "pretrained", given)
        folder = next((f for f in folders if (f / "label_encoder.txt").is_file()), None)
        if folder is None and key != "encoder":
            found[given] = given.name, ""
        elif folder is not None:
            card = folder / "README.md"
            text = card.read_text(encoding="utf-8") if card.is_file() else ""
            found.setdefault(folder.resolve(), (given.name, text))
    return list(found.values())


def parts_of(hparams):
    """What a system is made of, as the card names it.

    Example
    -------
    >>> parts_of({"encoder": "microsoft/wavlm-large"})
    'on the encoder `wavlm-large`'
    >>> parts_of({"encoder": "mini", "enhancer": "results/se_only", "classifier": "results/ser"})
    'of the enhancer `se_only` and the classifier `ser`'
    """
    names = {key: Path(str(hparams[key])).name for key in STARTS if hparams.get(key)}
    encoder = f"on the encoder `{names['encoder']}`"
    if "enhancer" not in names:
        return encoder
    classifier = f"the classifier `{names['classifier']}`" if "classifier" in names else None
    return f"of the enhancer `{names['enhancer']}` and {classifier or 'a classifier ' + encoder}"


def model_card(
    hparams, run=None, precision="fp32", temperature=None, reason=None, tasks=("se", "ser")
):
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
    tasks : sequence of str
        What the model has a head for.

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
    starts = starts_of(hparams)
    closed = any(closes(facts.get("licence", "")) for facts in corpora.values())
    closed = closed or any(closes(card) for _, card in starts)
    low, high = hparams["train_snr_db"]
    labels = list(hparams["labels"])
    results = (run.tables or "The run was not scored on test speakers.").strip()
    calibration = (
        f"Probabilities are calibrated on the validation speakers (T = {temperature or 1:.3f})."
        if reason is None
        else f"Probabilities are not calibrated: {reason}."
    )
    emotions = f"Emotions: {', '.join(labels) or 'none'}. {calibration}\n\n"
    both = len(tasks) > 1
    return TEMPLATE.format(
        head=yaml_head(title, corpora, closed, run.rows, [TAGS[task] for task in tasks]),
        title=title,
        system=hparams["system"],
        what=f"{ALONE['ser']}, and the cleaned speech with it" if both else ALONE[tasks[0]],
        parts=parts_of(hparams),
        call=CALL["both" if both else tasks[0]],
        corpora=" and ".join(corpora),
        version=__version__,
        warning="\n**Its training data allow non-commercial use only.**\n" if closed else "",
        precision=precision,
        data="\n".join(map(data_row, corpora_and_speech, corpora_and_speech.values())),
        start="\n".join(
            f"\nIt started from `{name}`: what that one was trained on, and the licences of it, "
            "count here too."
            for name, _ in starts
        ),
        noise=f"Noise was mixed in at {low} to {high} dB; "
        f"{100 * hparams.get('clean_share', 0):.0f} % of the utterances were left clean.",
        emotions=emotions if "ser" in tasks else "",
        use=" ".join(USE[task] for task in USE if task in tasks),
        limits="\n".join(LIMITS[task] for task in LIMITS if task in tasks).format(
            n_labels=len(labels)
        ),
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


def yaml_head(title, corpora, closed, rows, tags):
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
    tags : list of str
        What the model is for.

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
        tags=[*tags, "speechbrain_merit"],
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
