"""Encoders from their configuration alone: what an exported model needs instead of a source.

Models of transformers are imported where there is no other way: a fresh process would wait for
them longer than for all the rest of its first result.
"""

from speechbrain_merit.lobes.mel import Layers as MelLayers
from speechbrain_merit.lobes.mel import MelHidden
from speechbrain_merit.lobes.self_supervised import SelfSupervisedHidden
from speechbrain_merit.lobes.whisper import WhisperHidden
from speechbrain_merit.lobes.whisper_layers import Layers, fits

SELF_SUPERVISED = ("wavlm", "hubert", "wav2vec2")

#: What a configuration says of decoders, text, pretraining and files: an encoder has none of them.
NOT_OF_ENCODERS = (
    *("decoder_", "mask_", "ctc_", "tdnn_", "xvector_", "contrastive_", "codevector_"),
    *("num_codevector", "proj_codevector", "num_negatives", "diversity_", "num_ctc", "suppress"),
    *("begin_suppress", "max_target", "median_filter", "classifier_", "use_weighted", "tie_word"),
    *("transformers_version", "architectures", "dtype", "vocab_size", "use_cache", "is_encoder_"),
    *("_name_or_path", "apply_spec", "forced_", "max_length", "add_adapter", "adapter_"),
    *(
        "num_adapter",
        "output_hidden_size",
        "id2label",
        "label2id",
        "layerdrop",
        "encoder_layerdrop",
    ),
    *("_attn_implementation", "use_bfloat16", "torch_dtype", "replace_prob", "use_mask_"),
)
#: Of these, what decides which weights a self-supervised model has.
FORM = ("mask_time_prob", "mask_feature_prob", "add_adapter", "adapter_attn_dim")
FORM += ("adapter_kernel_size", "adapter_stride", "num_adapter_layers", "output_hidden_size")


def encoder_config(encoder):
    """The arguments of :func:`encoder_from_config` that make an encoder of the same form.

    Arguments
    ---------
    encoder : Encoder
        From :func:`speechbrain_merit.lobes.encoders.build_encoder`.

    Returns
    -------
    dict
        Plain values only.

    Example
    -------
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> arguments = encoder_config(build_encoder("mini"))
    >>> arguments["config"]["width"], arguments["trained"]
    (96, False)
    """
    self_supervised = isinstance(encoder, SelfSupervisedHidden)
    form = FORM if self_supervised else ()
    config = {
        key: value
        for key, value in encoder.model.config.to_diff_dict().items()
        if key in form or not key.startswith(NOT_OF_ENCODERS) and not key.endswith("_token_id")
    }
    arguments = {"config": config, "trained": encoder.trained}
    if self_supervised:
        arguments["normalise"] = encoder.normalise
    return arguments


def encoder_from_config(config, trained=True, normalise=False):
    """An encoder with random weights, to be loaded afterwards.

    Arguments
    ---------
    config : dict
        With ``model_type``: ``whisper``, ``wavlm``, ``hubert`` or ``wav2vec2`` of transformers, or
        ``mel``, that of ``mini``. (Before there was ``mel``, ``mini`` was a small ``whisper``.)
    trained : bool
        Whether the weights to come are those of a pretrained encoder.
    normalise : bool
        Zero mean and unit variance for each wave; Whisper has its own rule.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        A model of another kind.

    Example
    -------
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> encoder = encoder_from_config(**encoder_config(build_encoder("mini")))
    >>> encoder.width, encoder.n_hidden
    (96, 3)
    """
    config = dict(config)
    kind = config.pop("model_type", None)
    if kind not in ("mel", "whisper", *SELF_SUPERVISED):
        known = ", ".join(("mel", "whisper", *SELF_SUPERVISED))
        raise ValueError(f"encoder: model_type is {kind!r}; known are {known}.")
    if kind == "mel":
        return MelHidden(MelLayers(config), trained)
    if kind == "whisper" and fits(config):
        return WhisperHidden(Layers(config), trained)
    if kind == "whisper":
        from transformers.models.whisper.configuration_whisper import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperHidden(WhisperEncoder(WhisperConfig(**config)), trained)
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.for_model(kind, **config))
    return SelfSupervisedHidden(model, normalise, trained)
