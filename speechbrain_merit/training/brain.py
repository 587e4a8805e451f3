"""MeritBrain: the training of every system in ``hparams/``."""

from itertools import islice

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from torch.utils.data import DataLoader

from speechbrain_merit.evaluation.attributes import attribute_scores
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.lobes.objectives import si_sdr
from speechbrain_merit.training import losses


class MeritBrain(sb.Brain):
    """Trains encoder, integration and heads together on two tasks.

    Needs in ``modules``: ``model``, a :class:`~speechbrain_merit.lobes.merit.Merit`. The keys of
    ``hparams`` that it reads are those of the blocks "Losses" and "Training Parameters" of
    ``hparams/merit.yaml``, and ``class_weights`` (classes), set from the training data.
    """

    def compute_forward(self, batch, stage):
        """From the batch's mixtures to a :class:`~speechbrain_merit.lobes.merit.MeritOutput`."""
        batch = batch.to(self.device)
        wavs, lengths = batch.mixture
        return self.modules.model(wavs, lengths)

    def compute_objectives(self, predictions, batch, stage):
        """The weighted sum of the emotion, attribute, enhancement, balance and z terms."""
        terms = {}
        if predictions.logits is not None:
            terms["emotion"] = losses.emotion_loss(
                predictions.logits,
                batch.emotion.data.squeeze(1),
                self.hparams.class_weights.to(self.device),
                self.hparams.label_smoothing if stage == sb.Stage.TRAIN else 0.0,
            )
        if predictions.attributes is not None:
            terms["attribute"] = losses.attribute_loss(
                predictions.attributes, batch.attributes.data
            )
        if predictions.enhanced is not None:
            terms.update(self.enhancement_terms(predictions, batch, stage))
        for task, routing in predictions.routing.items():
            terms[f"{task} balance"] = losses.load_balance_loss(routing, predictions.frames)
            terms[f"{task} z"] = losses.router_z_loss(routing, predictions.frames)
        total = sum(self.weight(name) * term for name, term in terms.items())
        self.record(predictions, batch, stage, {"loss": total, **terms})
        return total

    def enhancement_terms(self, predictions, batch, stage):
        """The terms of the head's own loss; in validation, the gain in SI-SDR is noted too."""
        wavs, lengths = batch.mixture
        clean, noisy = batch.clean.data, torch.isfinite(batch.snr_db)
        if stage != sb.Stage.TRAIN:
            gain = si_sdr(predictions.waves, clean, lengths) - si_sdr(wavs, clean, lengths)
            self.si_sdr += gain[noisy].tolist()
        inside = self.model.level.applied(clean, predictions.factor, lengths)
        return self.model.enhancement.loss(predictions.enhanced, inside, lengths, noisy)

    @property
    def model(self):
        """The network itself, also where DistributedDataParallel wraps it."""
        return getattr(self.modules.model, "module", self.modules.model)

    def weight(self, name):
        """The YAML's weight of a term of the loss."""
        return getattr(self.hparams, name.split()[-1] + "_weight")

    def on_stage_start(self, stage, epoch=None):
        """Empties the records; frees the encoder when its epoch has come."""
        self.sums, self.n_batches, self.si_sdr = {}, 0, []
        self.truth, self.probabilities, self.conditions = [], [], []
        self.ratings, self.rated = [], []
        if stage == sb.Stage.TRAIN:
            # so that dropout after an interrupt is what it would have been without
            torch.manual_seed(self.hparams.seed + epoch)
            self.model.encoder.freeze(epoch < self.hparams.unfreeze_epoch)

    def record(self, predictions, batch, stage, terms):
        """Keeps what the end of the stage reports: loss terms, routing, predictions."""
        values = {name: term.detach() for name, term in terms.items()}
        values.update(routing_statistics(predictions.routing, predictions.frames))
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.n_batches += 1
        if stage == sb.Stage.TRAIN:
            return
        self.conditions += batch.snr_db.tolist()
        if predictions.logits is not None:
            self.truth += batch.emotion.data.squeeze(1).tolist()
            self.probabilities += predictions.logits.float().softmax(dim=-1).cpu().tolist()
        if predictions.attributes is not None:
            self.ratings += batch.attributes.data.tolist()
            self.rated += predictions.attributes.float().cpu().tolist()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs the stage; after validation, lowers the rates and keeps the best checkpoint."""
        stats = {name: total / self.n_batches for name, total in self.sums.items()}
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        stats.update(self.validation_scores())
        rates = self.anneal(epoch)
        meta = {"epoch": epoch, **rates}
        for train_logger in self.hparams.train_loggers:
            train_logger.log_stats(meta, train_stats=self.train_stats, valid_stats=stats)
        self.checkpointer.save_and_keep_only(
            meta={"score": stats["score"], "epoch": epoch}, max_keys=["score"]
        )

    def validation_scores(self):
        """F1-macro and CCC averaged over SNRs, SI-SDR improvement, and the checkpoint's score.

        score = F1-macro + CCC + si_sdr_score_weight · SI-SDR improvement in dB, of the tasks there
        are; CCC is the mean over the attributes.
        """
        scores = {"score": 0.0}
        if self.truth:
            f1 = [
                emotion_scores(truth, probabilities, self.hparams.labels)["f1_macro"]
                for truth, probabilities in self.by_condition(self.truth, self.probabilities)
            ]
            scores["f1_macro"] = float(sum(f1) / len(f1))
            scores["score"] += scores["f1_macro"]
        if self.ratings:
            ccc = [
                attribute_scores(truth, rated, self.hparams.attributes)["ccc"] or 0.0
                for truth, rated in self.by_condition(self.ratings, self.rated)
            ]
            scores["ccc"] = float(sum(ccc) / len(ccc))
            scores["score"] += scores["ccc"]
        if self.si_sdr:
            scores["si_sdr_gain"] = sum(self.si_sdr) / len(self.si_sdr)
            scores["score"] += self.hparams.si_sdr_score_weight * scores["si_sdr_gain"]
        return scores

    def by_condition(self, truth, predicted):
        """The pairs of truth and prediction of each SNR of the validation set."""
        groups = {}
        for pair, snr_db in zip(zip(truth, predicted), self.conditions):
            groups.setdefault(snr_db, []).append(pair)
        return [tuple(map(list, zip(*pairs))) for pairs in groups.values()]

    def anneal(self, epoch):
        """Sets the learning rates of the next epoch; returns those of the one that ended."""
        rates = {}
        for name, optimizer in self.optimizers_dict.items():
            rate = name.replace("opt_class", "lr")
            rates[rate] = optimizer.param_groups[0]["lr"]
            schedule = getattr(self.hparams, rate + "_annealing")
            sb.nnet.schedulers.update_learning_rate(optimizer, schedule(epoch)[1])
        return rates

    def standardise(self, train_set):
        """Starts the LayerNorms over the hidden states from statistics of the training data."""
        if not self.hparams.standardise_utterances:
            return
        loader = DataLoader(
            train_set,
            batch_size=self.hparams.test_batch_size,
            sampler=ReproducibleRandomSampler(train_set, seed=self.hparams.seed),
            collate_fn=PaddedBatch,
        )
        batches = -(-self.hparams.standardise_utterances // self.hparams.test_batch_size)
        self.model.integration.standardise(
            self.model.hear(*batch.to(self.device).mixture)[1:] for batch in islice(loader, batches)
        )

    def init_optimizers(self):
        """One optimizer for a pretrained encoder, one for all the rest.

        Two optimizers and not two groups: SpeechBrain clips only an optimizer's first group.
        """
        model = self.model
        model.encoder.freeze(False)  # so that its optimizer sees all that will ever train
        parts = {"opt_class": list(self.modules.parameters())}
        if model.encoder.trained:
            parts["encoder_opt_class"] = list(model.encoder.parameters())
        own = {id(p) for name, part in parts.items() if name != "opt_class" for p in part}
        parts["opt_class"] = [p for p in parts["opt_class"] if id(p) not in own]
        self.optimizers_dict = {}
        for name, parameters in parts.items():
            optimizer = getattr(self.hparams, name)([p for p in parameters if p.requires_grad])
            self.optimizers_dict[name] = optimizer
            self.checkpointer.add_recoverable(name.replace("opt_class", "optimizer"), optimizer)

    def freeze_optimizers(self, optimizers):
        """Leaves the encoder's optimizer out while the encoder is frozen."""
        if self.model.encoder.frozen:
            return {name: o for name, o in optimizers.items() if name != "encoder_opt_class"}
        return optimizers


def routing_statistics(routing, frames):
    """Use of each expert, entropy of each router and agreement of the tasks over true frames.

    Returns
    -------
    dict
        ``"<task> use <e>"``: share of choices that fell on expert e; ``"<task> entropy"``: mean
        entropy of the router's probabilities in nats; ``"agreement"``: share of frames for which
        both tasks chose the same expert first.

    Example
    -------
    >>> from speechbrain_merit.lobes.routing import Routing
    >>> routing = Routing(torch.zeros(1, 2, 2), torch.tensor([[[0], [1]]]), torch.ones(1, 2, 1))
    >>> frames = torch.ones(1, 2, dtype=torch.bool)
    >>> stats = routing_statistics({"se": routing, "ser": routing}, frames)
    >>> {name: round(float(value), 3) for name, value in stats.items()}
    {'se use 0': 0.5, 'se use 1': 0.5, 'se entropy': 0.693, 'ser use 0': 0.5, 'ser use 1': 0.5, \
'ser entropy': 0.693, 'agreement': 1.0}
    """
    stats = {}
    for task, decision in routing.items():
        log = decision.logits[frames].detach().log_softmax(dim=-1)
        chosen = decision.experts[frames]
        for expert in range(log.shape[-1]):
            stats[f"{task} use {expert}"] = (chosen == expert).float().mean()
        stats[f"{task} entropy"] = -(log.exp() * log).sum(dim=-1).mean()
    if len(routing) == 2:
        first = [decision.experts[frames][..., 0] for decision in routing.values()]
        stats["agreement"] = (first[0] == first[1]).float().mean()
    return stats
