"""A trained model as a folder that runs without PyTorch: graphs for ONNX Runtime, and a script.

The folder holds ``emotion.onnx`` and ``enhancement.onnx``, each a whole network of its own so that
any program may load it alone, ``merit_onnx.py``, which runs them over recordings, and the model
card. What a program has to know is in the metadata of each graph, every value as JSON:
``labels``, ``temperature`` (its division is part of the graph), ``level``, ``attributes``,
``sample_rate``, ``window_seconds``, ``shortest_samples``, ``max_seconds``, ``precision``.
"""

import contextlib
import io
import json
import shutil
import uuid
import warnings
from pathlib import Path

import numpy as np
import torch

from speechbrain_merit import __version__
from speechbrain_merit.errors import PretrainedError, SettingsError
from speechbrain_merit.export.folder import refuse_other_folders, replace_folder
from speechbrain_merit.export.loading import CARD
from speechbrain_merit.export.onnx_graphs import Graph
from speechbrain_merit.lobes.cascade import Cascade
from speechbrain_merit.lobes.quantised import Int8Linear
from speechbrain_merit.lobes.spectrum import MIN_SAMPLES, SAMPLE_RATE

SCRIPT = "merit_onnx.py"
FILES = {"ser": "emotion.onnx", "se": "enhancement.onnx"}
PRECISIONS = ("fp32", "int8")
OPSET = 18
LARGEST_FILE = 2**31 - 2**24  # bytes of a protobuf; what is larger has its weights beside it
#: Samples of the wave that is traced, and of those that a finished graph is tried with.
TRACED, TRIED = 16000, (MIN_SAMPLES, 9999, 40001)
#: The routers, which compare near ties, and the mel bands, whose power spans many decades; of the
#: former the name that onnxruntime gives to what it splits in two.
KEPT = ["/model/integration/Gemm", "/model/integration/Gemm_MatMul", "/model/encoder/MatMul"]
#: Largest share of its scale by which a graph may differ from the network.
TOLERANCE = 1e-3


def write_onnx(folder, model, about, card="", precision="fp32", overwrite=False):
    """Writes a folder of graphs, all of it or nothing; each is tried before.

    Arguments
    ---------
    folder : str or Path
        Where to; made with its parents.
    model : Merit
        Trained; stays as it is.
    about : dict
        Plain values for the metadata, ``temperature``, ``labels`` and ``window_seconds`` among
        them.
    card : str
        The model card, Markdown.
    precision : str
        ``fp32``, or ``int8``: matrices in int8 by onnxruntime, activations as they come.
    overwrite : bool
        Replace a folder of graphs that is there already.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SettingsError
        onnx and onnxruntime are not installed, or an unknown precision.
    PretrainedError
        ONNX cannot hold this network.
    FileExistsError
        ``folder`` is there and not empty; with ``overwrite``, it is no folder of graphs.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"export --onnx needs the packages of an extra ({error.name} is missing): "
            'pip install "speechbrain_merit[onnx]"'
        ) from error
    if precision not in PRECISIONS:
        raise SettingsError(
            f"precision is {precision!r}: ONNX is written as {' or '.join(PRECISIONS)}."
        )
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        raise PretrainedError(
            "This model has int8 weights already: export what it was made of, to ONNX with "
            "--precision int8."
        )
    if isinstance(model, Cascade):
        raise PretrainedError("A cascade is no one graph: export the runs that its parts are of.")
    folder = Path(folder)
    refuse_other_folders(folder, overwrite, [*FILES.values(), SCRIPT, CARD], mark=SCRIPT)
    facts = {
        "speechbrain_merit": __version__,
        "sample_rate": SAMPLE_RATE,
        "shortest_samples": MIN_SAMPLES,
        "max_seconds": model.encoder.max_seconds,
        "level": {"rule": type(model.level).__name__, **model.level.config},
        "precision": precision,
        **about,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{uuid.uuid4().hex}.part"
    partial.mkdir()
    try:
        for task in model.tasks:
            path = partial / FILES[task]
            graph = Graph(model, task, float(facts["temperature"])).eval()
            trace(graph, path)
            compare(graph, path)
            if precision == "int8":
                quantise(path)
            rewrite(path, {**facts, "task": task})
        shutil.copyfile(Path(__file__).with_name(SCRIPT), partial / SCRIPT)
        if card:
            (partial / CARD).write_text(card.rstrip() + "\n", encoding="utf-8")
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def trace(graph, path):
    """Writes a graph as ONNX, for waves of any length.

    By torch's older exporter: the newer one fixes the length that LSTMs hear.
    """
    wave = torch.randn(1, TRACED, generator=torch.Generator().manual_seed(0)) / 10
    axes = {"wave": {1: "samples"}}
    if graph.task == "se":
        axes["enhanced"] = {1: "samples"}
    # what it cannot export, it prints as a table of thousands of lines
    silence = contextlib.redirect_stdout(io.StringIO())
    try:
        with torch.no_grad(), warnings.catch_warnings(), silence:
            warnings.simplefilter("ignore")  # of lengths that are constants: they are tried below
            torch.onnx.export(
                graph,
                (wave,),
                str(path),
                dynamo=False,
                input_names=["wave"],
                output_names=graph.outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
        kind = type(graph.model.encoder.model).__name__
        raise PretrainedError(
            f"ONNX cannot hold this network (encoder {kind}): {str(error).splitlines()[0]}"
        ) from error


def rewrite(path, facts):
    """Gives a file its metadata, each value as JSON; weights too large for it go beside it."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {k: json.dumps(v) for k, v in facts.items()})
    for left in path.parent.glob("*"):  # an exporter puts large weights in files of its own
        if left.suffix not in (".onnx", ".data"):
            left.unlink()
    size = sum(len(one.raw_data) for one in model.graph.initializer)
    beside = {"save_as_external_data": True, "location": path.with_suffix(".data").name}
    onnx.save_model(model, str(path), **(beside if size > LARGEST_FILE else {}))


def compare(graph, path):
    """Raises PretrainedError unless a file gives what the network gives, at other lengths too."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for samples in TRIED:
        wave = torch.randn(1, samples, generator=torch.Generator().manual_seed(samples)) / 10
        with torch.no_grad():
            expected = graph(wave)
        try:
            found = session.run(graph.outputs, {"wave": wave.numpy()})
        except Exception as error:  # onnxruntime's own are of no common kind
            raise PretrainedError(
                f"ONNX cannot hold this network: traced at {TRACED} samples, it fails at {samples}."
            ) from error
        for one, other in zip(found, expected):
            other, alike = other.numpy(), one.shape == other.shape
            if not alike or np.abs(one - other).max() > TOLERANCE * np.abs(other).max():
                raise PretrainedError(
                    f"ONNX cannot hold this network: at {samples} samples it gives other results."
                )


def quantise(path):
    """Makes the matrices of a file int8, but for those that must stay exact."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    large = sum(one.stat().st_size for one in path.parent.iterdir()) > LARGEST_FILE
    whole = path.with_suffix(".fp32")
    path.rename(whole)
    quantize_dynamic(
        str(whole),
        str(path),
        op_types_to_quantize=["MatMul", "Gemm", "LSTM"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=KEPT,
        use_external_data_format=large,
    )
    whole.unlink()
