"""The data of a run: the manifests of corpus, noise and rooms, and the datasets made of them."""

from speechbrain_merit.data.augmentation import Band, Codec, Crop, Filter, Speed
from speechbrain_merit.data.babble import Babble, VoiceBank
from speechbrain_merit.data.corpora import data_root, prepare_corpora
from speechbrain_merit.data.levels import Clip, Level
from speechbrain_merit.data.manifests import load_manifest
from speechbrain_merit.data.mixing import NARROW, FixedMixer, Noise, NoiseBank, TrainingMixer
from speechbrain_merit.data.noise_folders import prepare_noise as prepare_noise_folders
from speechbrain_merit.data.pipeline import fixed_set, training_set
from speechbrain_merit.data.room_folders import prepare_rooms as prepare_room_folder
from speechbrain_merit.data.rooms import Room, RoomBank
from speechbrain_merit.data.sampling import class_counts, plan, uses
from speechbrain_merit.data.sources import check_sources, source_names, speech_without_labels
from speechbrain_merit.data.speech_folders import prepare_speech_folders
from speechbrain_merit.data.synthetic import prepare_minimerit_noise
from speechbrain_merit.errors import PreparationError
from speechbrain_merit.labels import class_weights, label_encoder
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE


def prepare(hparams):
    """Writes the manifests of the noise, the rooms, the corpus and the speech without labels."""
    check_sources(hparams)
    prepare_noise(hparams)
    prepare_rooms(hparams)
    prepare_speech_folders(
        hparams.get("speech_folders") or {}, hparams["save_folder"], hparams["skip_prep"]
    )
    prepare_corpora(hparams)


def prepare_noise(hparams, tests_only=False):
    """Writes the noise manifests; returns folders and manifests, each for train, valid and test.

    Where no noise folder is given, MiniMERIT's own noise is used. With ``tests_only``, for a model
    that is scored and not trained, no other folders are needed.
    """
    keys = ("noise_train_folder", "noise_valid_folder", "noise_test_folders")
    given = [hparams[key] for key in keys]
    if not any(given):
        folders = prepare_minimerit_noise(hparams["noise_folder"])
        given = [folders["train"], folders["valid"], folders["test"]]
    if tests_only:
        given[:2] = None, None
    for key, value in zip(keys[2 * tests_only :], given[2 * tests_only :]):
        if not value:
            raise PreparationError(f"{key} is empty: give it too, or none of {', '.join(keys)}.")
    manifests = prepare_noise_folders(
        *given, hparams["save_folder"], skip_prep=hparams["skip_prep"]
    )
    return dict(zip(("train", "valid", "test"), given)), manifests


def prepare_rooms(hparams):
    """Writes the manifest of the room impulse responses and returns it, or None without any."""
    if not hparams["rir_folder"]:
        return None
    return prepare_room_folder(hparams["rir_folder"], hparams["save_folder"], hparams["skip_prep"])


def datasets(hparams):
    """The training, validation and test datasets.

    Sets ``hparams["class_weights"]``, from how often each class is drawn, and ``hparams["draws"]``,
    the plan of :mod:`sampling`, or None where every utterance is drawn alike.
    """
    folders, manifests = prepare_noise({**hparams, "skip_prep": True})
    encoder = label_encoder(hparams["labels"])
    train = speech(hparams, "train_annotation")
    labels, attributes = hparams["labels"], hparams["attributes"]
    require_attributes(train, attributes, hparams["train_annotation"])
    unlabelled = speech_without_labels(hparams)
    require_heard(unlabelled, hparams, "speech_folders", training=True)
    train |= unlabelled
    shares, balanced = hparams.get("source_shares"), hparams.get("balanced", False)
    passes, sources = hparams["passes_per_epoch"], source_names(train, hparams)
    groups = plan(train, sources, shares, balanced, passes)
    counts = class_counts(groups, train, labels)
    hparams["class_weights"] = class_weights(counts) if labels else None
    hparams["draws"] = groups if shares or balanced else None
    train_noise = noise_bank(manifests["train"], folders["train"])
    voices = VoiceBank(train, SAMPLE_RATE) if hparams.get("babble_share") else None
    mixer = training_mixer(hparams, train_noise, room_bank(hparams), voices)
    valid = noise_bank(manifests["valid"], folders["valid"])
    return (
        training_set(train, encoder, mixer, uses(groups), attributes),
        fixed_set(
            speech(hparams, "valid_annotation"),
            encoder,
            FixedMixer({"valid": valid}, SAMPLE_RATE, hparams["valid_seed"]),
            [("valid", snr) for snr in hparams["valid_snrs"]],
            attributes,
        ),
        None if hparams["skip_test"] else fixed_test_set(hparams, (folders, manifests)),
    )


def training_mixer(hparams, bank, rooms=None, voices=None):
    """The way of a training utterance from its file to a mixture, as the YAML's keys set it.

    Arguments
    ---------
    hparams : dict
        ``seed``, ``epoch_counter``, ``train_snr_db`` and the share or choice of each step.
    bank : NoiseBank
        Noise to draw from.
    rooms : RoomBank, optional
        Impulse responses to draw from.
    voices : VoiceBank, optional
        Speech to make babble of.

    Returns
    -------
    TrainingMixer
    """
    rate, seconds = bank.sample_rate, hparams["crop_seconds"]
    filtered = Filter(hparams["filter_share"])
    return TrainingMixer(
        hparams["seed"],
        hparams["epoch_counter"],
        speed=Speed(hparams["speeds"]),
        crop=Crop(None if seconds is None else round(seconds * rate)),
        filter=filtered,
        band=Band(rate, hparams["band_limit_share"]),
        room=Room(rooms, hparams["room_share"]),
        noise=Noise(
            bank,
            hparams["train_snr_db"],
            hparams["clean_share"],
            hparams["max_noises"],
            filtered,
            Babble(voices, hparams.get("babble_share", 0.0)),
        ),
        # runs of older versions, which are scored again, have none of these keys
        level=Level(hparams.get("level_share", 0.0), hparams.get("level_db", (-40, -12))),
        clip=Clip(hparams.get("clip_share", 0.0)),
        codec=Codec(rate, hparams["codec_share"]),
    )


def fixed_test_set(hparams, noise):
    """The test dataset: clean, and each noise set at each SNR, within 4 kHz too where asked."""
    folders, manifests = noise
    banks = {
        name: noise_bank(manifest, folders["test"][name])
        for name, manifest in manifests["test"].items()
    }
    bands = ("", NARROW) if hparams["test_band_limit"] else ("",)
    sets = [name + band for band in bands for name in banks]
    conditions = [(None, None)] + [(name, snr) for name in sets for snr in hparams["test_snrs"]]
    return fixed_set(
        speech(hparams, "test_annotation"),
        label_encoder(hparams["labels"]),
        FixedMixer(banks, SAMPLE_RATE, hparams["test_seed"]),
        conditions,
        hparams["attributes"],
    )


def require_attributes(entries, attributes, manifest):
    """Raises PreparationError for an attribute that no utterance of a manifest is rated on."""
    for name in attributes:
        if all(entry.get(name) is None for entry in entries.values()):
            raise PreparationError(
                f"attributes: no utterance of {manifest} has {name}. The corpus does not rate it, "
                "or the manifest is older than the key: leave it out, or prepare the corpus again."
            )


def speech(hparams, key):
    """The checked entries of a speech manifest.

    Raises
    ------
    PreparationError
        A row is wrong, or an utterance longer than the encoder can hear.
    """
    root = {"data_root": data_root(hparams)}
    entries = load_manifest(hparams[key], hparams["labels"] or None, root)
    require_heard(entries, hparams, hparams[key], training=key == "train_annotation")
    return entries


def require_heard(entries, hparams, place, training):
    """Raises PreparationError for an utterance longer, when slow, than the encoder hears."""
    # a cascade's two encoders are not those of its YAML
    limit = hparams.get("model", hparams["encoder_module"]).max_seconds
    if not (entries and limit) or (training and hparams["crop_seconds"] is not None):
        return
    longest = max(entries, key=lambda name: entries[name]["duration"])
    slowest = min(hparams["speeds"]) if training else 1.0
    if entries[longest]["duration"] > limit * slowest:
        raise PreparationError(
            f"{longest} in {place} lasts {entries[longest]['duration']:.1f} s"
            + (f", at a speed of {slowest} more," if slowest < 1 else "")
            + f" and the encoder hears at most {limit} s at once: cut the recordings, set "
            "crop_seconds for training, or take a WavLM, HuBERT or wav2vec 2.0 encoder."
        )


def noise_bank(manifest, folder):
    """The recordings of a noise manifest."""
    return NoiseBank(load_manifest(manifest, replacements={"noise_root": str(folder)}), SAMPLE_RATE)


def room_bank(hparams):
    """The impulse responses to train in, or None."""
    manifest = prepare_rooms({**hparams, "skip_prep": True})
    if manifest is None:
        return None
    root = {"rir_root": str(hparams["rir_folder"])}
    return RoomBank(load_manifest(manifest, replacements=root), SAMPLE_RATE)
