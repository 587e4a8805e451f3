"""``merit export``: of a run or a pretrained folder, a pretrained folder or graphs for ONNX."""

import re
import tempfile
from pathlib import Path

from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.export.loading import CARD, HEARD, HPARAMS, WEIGHTS
from speechbrain_merit.export.onnx_folder import write_onnx
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.training.finished import export_run
from speechbrain_merit.training.settings import plain_values

#: Of a pretrained folder's YAML, what is about the model and not about how it is written.
FACTS = ("system", "corpus", "attributes", "checkpoint", "window_seconds", HEARD)
#: Of the model card: how the weights are stored; and with the code before it, how it is used.
STORED = re.compile(r"The weights are stored as \w+\.")
USE = re.compile(rf"```python\nfrom speechbrain_merit\.inference.*?{STORED.pattern}", re.DOTALL)
USE_OF_GRAPHS = """\
```
python merit_onnx.py recording.wav --out enhanced
```

or `from merit_onnx import MeritOnnx`: it needs NumPy, onnxruntime and soundfile alone. The graphs
are stored as {}."""


def export(source, out, precision="fp32", overwrite=False, onnx=False):
    """Makes a folder of a trained model.

    Arguments
    ---------
    source : str or Path
        The folder of a run, or a pretrained folder.
    out : str or Path
        The folder to make.
    precision : str
        ``fp32``, ``fp16`` or ``int8``; for ONNX ``fp32`` or ``int8``.
    overwrite : bool
        Replace ``out`` where it is such a folder already.
    onnx : bool
        Graphs that run without PyTorch, in place of a pretrained folder.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ValueError
        ``source`` is neither, or cannot be exported in this way.
    """
    source = Path(source)
    pretrained = (source / WEIGHTS).is_file()
    if not onnx:
        again = export_again if pretrained else export_run
        return again(source, out, precision, overwrite)
    with tempfile.TemporaryDirectory() as folder:
        if not pretrained:
            source = export_run(source, Path(folder) / "model")
        merit = loaded(source)
        about = {
            "labels": list(merit.hparams.labels),
            "temperature": float(merit.hparams.temperature),
            "window_seconds": merit.window_seconds,
            "attributes": list(getattr(merit.hparams, "attributes", None) or ()),
        }
        card = USE.sub(USE_OF_GRAPHS.format(precision), card_of(source))
        return write_onnx(out, merit.model, about, card, precision, overwrite)


def export_again(source, out, precision, overwrite):
    """A pretrained folder of another one: its weights at another precision, its card kept."""
    merit, values = loaded(source), plain_values(source / HPARAMS)
    facts = {key: values[key] for key in FACTS if key in values}
    card = STORED.sub(f"The weights are stored as {precision}.", card_of(source))
    labels, temperature = merit.hparams.labels, merit.hparams.temperature
    return write_pretrained(
        out, merit.model, labels, card, precision, temperature, facts, overwrite
    )


def loaded(folder):
    """The interface of a pretrained folder, on the CPU."""
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


def card_of(folder):
    """The text of a folder's model card, or a title where it has none."""
    path = folder / CARD
    return path.read_text(encoding="utf-8") if path.is_file() else f"# {folder.resolve().name}"
