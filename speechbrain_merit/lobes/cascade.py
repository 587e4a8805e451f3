"""An enhancer in front of a classifier: what Sparse MERIT is compared with."""

import torch
from torch import nn

from speechbrain_merit.errors import SettingsError

#: What of it trains: nothing; the classifier, on what the enhancer gives; both, end to end.
FORMS = ("unchanged", "matched", "together")


class Cascade(nn.Module):
    """Noisy wave → enhancer → clean wave → classifier, each a whole network with an encoder.

    It is called, trained, scored and exported as :class:`~speechbrain_merit.lobes.merit.Merit` is.

    Arguments
    ---------
    enhancer : Merit
        With an enhancement head; a trained one.
    classifier : Merit
        With an emotion head, or one of attributes.
    form : str
        One of ``FORMS``. What does not train stays in evaluation mode and gets no gradient.

    Raises
    ------
    SettingsError
        Unknown form, or a part without its head.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.enhancement import EnhancementHead
    >>> from speechbrain_merit.lobes.integration import WeightedSum
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> heads = EnhancementHead(96, hidden=16), None
    >>> enhancer = Merit(build_encoder("mini"), WeightedSum(3, 96), *heads)
    >>> heads = None, EmotionHead(96, n_classes=4)
    >>> cascade = Cascade(enhancer, Merit(build_encoder("mini"), WeightedSum(3, 96), *heads))
    >>> output = cascade(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> output.waves.shape, output.logits.shape
    (torch.Size([2, 16000]), torch.Size([2, 4]))
    """

    def __init__(self, enhancer, classifier, form="matched"):
        super().__init__()
        if form not in FORMS:
            raise SettingsError(f"cascade is {form!r}: choose one of {', '.join(FORMS)}.")
        if "se" not in enhancer.tasks or "ser" not in classifier.tasks:
            raise SettingsError("A cascade needs an enhancer and a classifier, in this order.")
        self.config = {"form": form}
        self.enhancer, self.classifier = enhancer, classifier
        self.trains = {"unchanged": (), "matched": (classifier,)}.get(form, (enhancer, classifier))
        for part in (enhancer, classifier):
            if part not in self.trains:
                part.requires_grad_(False)
        self.train(self.training)

    tasks = ("se", "ser")

    @property
    def encoders(self):
        """The encoders that train, or will."""
        return [part.encoder for part in self.trains]

    @property
    def encoder(self):
        """That of the classifier."""
        return self.classifier.encoder

    @property
    def max_seconds(self):
        """The longest wave that both parts hear at once; None for any."""
        limits = [part.max_seconds for part in (self.enhancer, self.classifier)]
        return min(filter(None, limits), default=None)

    @property
    def level(self):
        """That of the enhancer, which the loss of its head is taken at."""
        return self.enhancer.level

    @property
    def enhancement(self):
        """The enhancement head."""
        return self.enhancer.enhancement

    @property
    def emotion(self):
        """The emotion head."""
        return self.classifier.emotion

    @property
    def attributes(self):
        """The head of attributes."""
        return self.classifier.attributes

    @property
    def n_experts(self):
        """None: two pools are not one that two tasks share."""
        return None

    def train(self, mode=True):
        """Sets the training mode of what trains."""
        super().train(mode)
        for part in (self.enhancer, self.classifier):
            if part not in self.trains:
                part.eval()
        return self

    def standardise(self, batches):
        """Starts the classifier's LayerNorms from enhanced batches; see ``Merit.standardise``."""
        self.classifier.standardise((self.clean(*batch).waves, batch[1]) for batch in batches)

    def clean(self, wavs, lengths=None):
        """What the enhancer makes of noisy waves (B, S), a MeritOutput."""
        trains = torch.is_grad_enabled() and self.enhancer in self.trains
        with torch.set_grad_enabled(trains):
            return self.enhancer(wavs, lengths, ("se",))

    def part(self, wavs, lengths, task):
        """The network that does a task, and what it hears of noisy waves (B, S)."""
        if task == "se":
            return self.enhancer, wavs
        return self.classifier, self.clean(wavs, lengths).waves

    def forward(self, wavs, lengths=None, tasks=None):
        """Hears noisy waves (B, S) of relative lengths (B); gives what Merit does, a MeritOutput.

        ``routing`` is that of a part that is training, whose experts the loss keeps in use;
        otherwise empty: two pools are not one.
        """
        tasks = tasks or self.tasks
        cleaned = self.clean(wavs, lengths)
        if "ser" not in tasks:
            return cleaned._replace(routing={})
        heard = self.classifier(cleaned.waves, lengths, ("ser",))
        routing = {}
        for part, output in ((self.enhancer, cleaned), (self.classifier, heard)):
            # encoders of two kinds may count frames differently: the mask is of one of them
            if part.training and output.frames.shape == heard.frames.shape:
                routing |= output.routing
        heard = heard._replace(factor=cleaned.factor, routing=routing)
        if "se" not in tasks:
            return heard
        return heard._replace(waves=cleaned.waves, enhanced=cleaned.enhanced)
