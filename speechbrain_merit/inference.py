"""MeritInterface: from recordings to clean speech and its emotions, with a trained model."""

from pathlib import Path

import torch
from speechbrain.inference.interfaces import Pretrained

from speechbrain_merit.loading import require_files


class MeritInterface(Pretrained):
    """A trained model of the project, ready to use."""

    HPARAMS_NEEDED = ["labels", "temperature", "label_encoder", "sample_rate"]
    MODULES_NEEDED = ["model"]

    @classmethod
    def from_hparams(cls, source, hparams_file="hyperparams.yaml", savedir=None, **kwargs):
        """Loads a pretrained folder, or one from the hub into ``savedir``.

        Arguments
        ---------
        source : str or Path
            Folder, or name of a model on the Hugging Face hub.
        hparams_file : str
            Its YAML.
        savedir : str or Path, optional
            Where files of the hub go; a folder is read where it lies.
        **kwargs : dict
            To SpeechBrain, such as ``run_opts={"device": "cuda"}``.

        Raises
        ------
        PretrainedError
            A file is missing, cut off, or does not fit the model.
        """
        if Path(source).is_dir():
            require_files(source)
            savedir = None  # SpeechBrain would take what an earlier model left there
        return super().from_hparams(str(source), hparams_file, savedir=savedir, **kwargs)

    @torch.inference_mode()
    def enhance_batch(self, wavs, lengths=None):
        """Clean speech (B, S) of noisy waves (B, S) at 16 kHz with relative lengths (B)."""
        wavs, lengths = self.on_device(wavs, lengths)
        output = self.mods.model(wavs, lengths, tasks=("se",))
        return self.mods.model.waves(output, wavs, lengths)

    @torch.inference_mode()
    def classify_batch(self, wavs, wav_lens=None):
        """The emotion of waves (B, S) at 16 kHz with relative lengths (B).

        Returns
        -------
        tuple
            Probabilities (B, classes), the highest of each (B), its index (B), its label (B).
        """
        wavs, lengths = self.on_device(wavs, wav_lens)
        logits = self.mods.model(wavs, lengths, tasks=("ser",)).logits
        out_prob = (logits / self.hparams.temperature).softmax(dim=-1)
        score, index = out_prob.max(dim=-1)
        return out_prob, score, index, self.hparams.label_encoder.decode_torch(index)

    def on_device(self, wavs, lengths):
        """Waves and lengths as float32 where the model is."""
        lengths = None if lengths is None else lengths.to(self.device).float()
        return wavs.to(self.device).float(), lengths
