"""The model card of an exported model: what it is for, what it was trained on, how good it is."""

from pathlib import Path

#: Licence of a corpus as its owners state it, and whether it allows commercial use.
LICENCES = {
    "RAVDESS": "CC BY-NC-SA 4.0: not for commercial use",
    "nEMO": "CC BY-NC-SA 4.0: not for commercial use",
    "EmoTale": "none stated; its authors ask to be cited",
    "CREMA-D": "Open Database License",
    "EmoDB": "ask its owners",
    "IEMOCAP": "by agreement with its owners, for research",
    "MSP-Podcast": "by agreement with its owners",
    "MiniMERIT": "synthetic, Apache 2.0; says nothing about emotion",
}
NON_COMMERCIAL = "not for commercial use"

TEMPLATE = """\
---
language: {languages}
library_name: speechbrain
tags: [speech-enhancement, speech-emotion-recognition, speechbrain_merit]
license: {licence}
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

| Corpus | Licence of the data |
| --- | --- |
{data}

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


def model_card(hparams, precision="fp32", temperature=None, results=None, reason=None):
    """The text of a model card.

    Arguments
    ---------
    hparams : dict
        Of the run: ``system``, ``corpus``, ``encoder``, ``labels``, ``train_snr_db``.
    precision : str
        What the weights are stored as.
    temperature : float, optional
        Of the calibration.
    results : str, optional
        Markdown tables, as the evaluation of the run writes them.
    reason : str, optional
        Why there was no calibration.

    Returns
    -------
    str
        Markdown.

    Example
    -------
    >>> card = model_card({"system": "merit", "corpus": "nEMO", "encoder": "a/whisper-tiny.en",
    ...                    "labels": ["sad", "happy"], "train_snr_db": [-5, 15]})
    >>> [line for line in card.splitlines() if line.startswith("| nEMO")]
    ['| nEMO | CC BY-NC-SA 4.0: not for commercial use |']
    """
    from speechbrain_merit import __version__

    corpora = [Path(name.strip()).name for name in str(hparams["corpus"]).split(",")]
    licences = {name: LICENCES.get(name, "ask its owners") for name in corpora}
    closed = any(NON_COMMERCIAL in text for text in licences.values())
    low, high = hparams["train_snr_db"]
    labels = list(hparams["labels"])
    results = (results or "The run was not scored on test speakers.").strip()
    calibrated = (
        f"Probabilities are calibrated on the validation speakers (T = {temperature or 1:.3f})."
    )
    return TEMPLATE.format(
        languages="[en]" if corpora == ["RAVDESS"] else "multilingual",
        licence="cc-by-nc-sa-4.0" if closed else "other",
        title=f"{hparams['system']} on {' and '.join(corpora)}",
        system=hparams["system"],
        encoder=Path(str(hparams["encoder"])).name,
        corpora=" and ".join(corpora),
        version=__version__,
        warning="\n**Its training data allow non-commercial use only.**\n" if closed else "",
        precision=precision,
        data="\n".join(f"| {name} | {text} |" for name, text in licences.items()),
        noise=f"Noise was mixed in at {low} to {high} dB; "
        f"{100 * hparams.get('clean_share', 0):.0f} % of the utterances were left clean.",
        labels=", ".join(labels) or "none",
        n_labels=len(labels),
        calibration=calibrated
        if reason is None
        else f"Probabilities are not calibrated: {reason}.",
        results=results.replace("\n## ", "\n### "),  # one level below the card's own
    )
