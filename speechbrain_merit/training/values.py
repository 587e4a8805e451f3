"""Whether the value of a key can be what it has to be, before anything is built from it."""

import math

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.labels import ARROW, NO_SPEECH

#: What a key's value in the system's YAML says of every value that it may take.
KINDS = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str, int, float), "a name or a path"),
    list: ((list, tuple), "a list, as [a, b]"),
    dict: ((dict,), "a mapping, as {name: value}"),
}
#: Of keys whose default is computed.
COMPUTED = {"dropout": 0.5, "enhancement_hidden": 256}
#: Keys that are null in the YAML, or a number.
NUMBER_OR_NULL = {
    *("max_batch_seconds", "crop_seconds", "fold"),
    *("expert_hidden", "expert_out", "expert_rank", "emotion_hidden"),
}
#: Those of them that are whole.
WHOLE = {"fold", "expert_hidden", "expert_out", "expert_rank", "emotion_hidden"}
#: Numbers, and lists of numbers, that 0 makes nonsense of.
POSITIVE = {"crop_seconds", "max_batch_seconds", "level_rms", "speeds"}
#: Lists that cannot be empty.
FILLED = {"speeds", "valid_snrs"}
#: Has no end where it is infinite.
ENDLESS = {"max_grad_norm"}
#: Have a value in the YAML, and may have none; what a missing data_folder means is said last.
OR_NULL = {"heads_folder", "data_folder"}
#: Keys that are the lowest and the highest of what is drawn.
PAIRS = {"train_snr_db", "level_db"}
#: Lowest and highest values of numbers; None where there is no end.
RANGES = {
    "seed": (0, 2**32 - 1),
    "valid_seed": (0, None),
    "test_seed": (0, None),
    **dict.fromkeys(
        (
            "number_of_epochs",
            "passes_per_epoch",
            "batch_size",
            "test_batch_size",
            "grad_accumulation_factor",
            "max_noises",
        ),
        (1, None),
    ),
    # a network that no machine holds would end in the system's killing the process
    **dict.fromkeys(("n_experts", "top_k", "enhancement_layers"), (1, 1000)),
    **dict.fromkeys(
        (
            "expert_hidden",
            "expert_out",
            "expert_rank",
            "emotion_hidden",
            "enhancement_hidden",
        ),
        (1, 65536),
    ),
    **dict.fromkeys(
        (
            "clean_share",
            "filter_share",
            "band_limit_share",
            "codec_share",
            "room_share",
            "babble_share",
            "level_share",
            "clip_share",
            "dropout",
            "label_smoothing",
        ),
        (0, 1),
    ),
    **dict.fromkeys(
        ("num_workers", "n_examples", "standardise_utterances", "unfreeze_epoch"), (0, None)
    ),
    "n_jobs": (-1, None),
    **dict.fromkeys(
        (
            *("lr", "lr_final", "weight_decay", "max_grad_norm", "ckpt_interval_minutes"),
            *("emotion_weight", "enhancement_weight", "router_jitter", "gradient_cosine_steps"),
        ),
        (0, None),
    ),
}


def check_values(defaults, given):
    """Compares the values that a user gives with those that the YAML has.

    Arguments
    ---------
    defaults : dict
        Plain values of the system's YAML by key; a key that is null there takes any value.
    given : dict
        Values of the command line and of ``corpus.yaml``.

    Raises
    ------
    SettingsError
        A value is of another kind, or out of range; the key is named, and what it takes.

    Example
    -------
    >>> check_values({"batch_size": 8}, {"batch_size": "many"})
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.SettingsError: batch_size is 'many': it takes a whole number.
    """
    for key, value in given.items():
        default = COMPUTED.get(key, defaults.get(key))
        if key in NUMBER_OR_NULL and value is not None and default is None:
            default = 0.0
        if default is not None and not (value is None and key in OR_NULL):
            kinds, words = KINDS[type(default)]
            right = isinstance(value, kinds) and isinstance(value, bool) == isinstance(
                default, bool
            )
            if not right:
                raise SettingsError(f"{key} is {value!r}: it takes {words}.")
            if key in WHOLE and isinstance(value, float):
                raise SettingsError(f"{key} is {value!r}: it takes a whole number.")
            if isinstance(default, list) and default and isinstance(default[0], (int, float)):
                if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in value):
                    raise SettingsError(f"{key} is {value!r}: it takes a list of numbers.")
            if key in PAIRS and (len(value) != 2 or value[0] > value[1]):
                raise SettingsError(
                    f"{key} is {value!r}: it takes the lowest and the highest, as [5, 5] for one."
                )
            if key == "speeds" and any(round(v * 100) / 100 != v for v in value):
                raise SettingsError(f"{key} is {value!r}: it takes hundredths, as 0.95.")
            if key == "labels" and (odd := [v for v in value if v == NO_SPEECH or ARROW in str(v)]):
                raise SettingsError(
                    f"labels: {odd[0]!r} cannot be one: {NO_SPEECH} is said where nobody speaks, "
                    f"and {ARROW.strip()!r} parts a label from its number. Call it otherwise: "
                    "merge_labels."
                )
            if key in FILLED and not value:
                raise SettingsError(f"{key} is {value!r}: it takes one number or more.")
        numbers = value if isinstance(value, (list, tuple)) else [value]
        numbers = [n for n in numbers if isinstance(n, (int, float)) and not isinstance(n, bool)]
        if key in POSITIVE and not all(number > 0 for number in numbers):
            raise SettingsError(f"{key} is {value}: it takes numbers above 0.")
        low, high = RANGES.get(key, (None, None))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # a comparison with NaN is False
            if not ((low is None or value >= low) and (high is None or value <= high)):
                ends = f"from {low} on" if high is None else f"from {low} to {high}"
                raise SettingsError(f"{key} is {value}: it takes numbers {ends}.")
        if not all(math.isfinite(n) or (key in ENDLESS and n > 0) for n in numbers):
            raise SettingsError(f"{key} is {value}: it takes finite numbers.")
    if given.get("data_folder", "") is None:
        name = given.get("corpus", "the corpus")
        raise SettingsError(
            f"--data_folder is missing: the folder with the recordings of {name}. README.md of a "
            "recipe says where its corpus can be had."
        )
