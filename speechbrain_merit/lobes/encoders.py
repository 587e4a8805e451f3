"""Self-supervised encoders by name: a wave in, all hidden states out, padding changes nothing.

What a hidden state is stands in :mod:`speechbrain_merit.lobes.hidden`. The transformers come from
Hugging Face ``transformers``. SpeechBrain's own lobes for them normalise a wave over its padding
and lose ``freeze`` under ``.train()``; hence these.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.lobes.exported_encoder import exported_encoder, folder_of
from speechbrain_merit.lobes.mel import Layers, MelHidden
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from speechbrain_merit.lobes.whisper import WhisperHidden

SELF_SUPERVISED = ("wavlm", "hubert", "wav2vec2")
#: The encoder of ``--encoder mini``: some 1 % of whisper-tiny.en's multiplications.
MINI = dict(width=96, layers=2, kernel=9, mel_bands=80)


def build_encoder(source, freeze=True, normalise=None):
    """Builds an encoder from a name.

    Arguments
    ---------
    source : str
        ``mini`` (a small one from random weights, trained with the rest), or a Hugging Face name
        or local folder of a WavLM, HuBERT, wav2vec 2.0 or Whisper model; or a finished run or
        pretrained folder of this package, whose encoder is taken.
    freeze : bool
        Start frozen; :meth:`Encoder.freeze` changes it later. ``mini`` is never frozen.
    normalise : bool, optional
        Whether a WavLM, HuBERT or wav2vec 2.0 encoder brings each wave to zero mean and unit
        variance; as it was pretrained unless given. False leaves it to the network's level.

    Returns
    -------
    Encoder

    Raises
    ------
    SettingsError
        Nothing loadable at ``source``, or a model of another kind.

    Example
    -------
    >>> encoder = build_encoder("mini")
    >>> encoder.width, encoder.n_hidden, encoder.frozen
    (96, 3, False)
    """
    if source == "mini":
        return MelHidden(Layers(MINI))
    own = folder_of(source)
    if own is not None:
        encoder = exported_encoder(own)
        if normalise is not None and isinstance(encoder, SelfSupervisedHidden):
            encoder.normalise = normalise
        encoder.freeze(freeze)
        return encoder
    hint = "Give mini, a Hugging Face name such as microsoft/wavlm-large, or a local folder."
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        missing = not Path(str(source)).exists()
        what = "no such folder here, and the hub did not give it" if missing else str(error)
        raise SettingsError(f"encoder: cannot load {source!r}: {what}. {hint}") from error
    if config.model_type == "whisper":
        encoder = WhisperHidden(load_weights(WhisperEncoder, source, config))
    elif config.model_type in SELF_SUPERVISED:
        if normalise is None:
            normalise = expects_unit_variance(source, config)
        encoder = SelfSupervisedHidden(load_weights(AutoModel, source, config), normalise)
    else:
        known = ", ".join(("whisper", *SELF_SUPERVISED))
        raise SettingsError(
            f"encoder: {source!r} is a {config.model_type} model, not one of these: {known}. {hint}"
        )
    encoder.freeze(freeze)
    return encoder


def load_weights(model_class, source, config):
    """Loads pretrained weights in float32; a weight that the folder lacks is an error."""
    # a whole Whisper's encoder keys, and those of a folder with the encoder alone
    renamed = {r"^(model\.)?encoder\.": ""} if model_class is WhisperEncoder else None
    try:
        model, report = model_class.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            key_mapping=renamed,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SettingsError(
            f"encoder: the weights of {source!r} cannot be loaded: {error}"
        ) from error
    # masked_spec_embed serves pretraining alone, and some published folders leave it out
    missing = sorted(key for key in report["missing_keys"] if key != "masked_spec_embed")
    if missing:
        raise SettingsError(f"encoder: {source!r} lacks the weights {', '.join(missing[:5])} …")
    return model


def expects_unit_variance(source, config):
    """Whether a self-supervised model was trained on waves of zero mean and unit variance."""
    from transformers import AutoFeatureExtractor

    try:
        return bool(AutoFeatureExtractor.from_pretrained(source).do_normalize)
    except (OSError, ValueError):  # no preprocessor_config.json: the rule of the published models
        return config.feat_extract_norm == "layer"
