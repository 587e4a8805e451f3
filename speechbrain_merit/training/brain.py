"""MeritBrain: the training of every system in ``hparams/``."""

from itertools import islice

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from torch.utils.data import DataLoader

from speechbrain_merit.evaluation.attributes import attribute_scores
from speechbrain_merit.evaluation.emotion import emotion_scores
from speechbrain_merit.labels import NO_LABEL
from speechbrain_merit.lobes.objectives import alone, si_sdr
from speechbrain_merit.lobes.spectral_losses import EXTRA
from speechbrain_merit.training import losses, processes
from speechbrain_merit.training.gradients import MEASURED, Interference
from speechbrain_merit.training.progress import Progress

SAID = "said "  # the share of the steps whose batches say something of a term
SEEDS_OF_A_PROCESS = 1_000_000  # apart: more than a run has epochs


class MeritBrain(sb.Brain):
    """Trains encoder, integration and heads together on two tasks.

    Needs in ``modules``: ``model``, a :class:`~speechbrain_merit.lobes.merit.Merit`. The keys of
    ``hparams`` that it reads are those of the blocks "Losses" and "Training Parameters" of
    ``hparams/merit.yaml``, and ``class_weights`` (classes), set from the training data.

    In a run of several processes (:mod:`speechbrain_merit.training.processes`) the loss is that of
    their joint batch, and each validates its share of the batches.
    """

    def compute_forward(self, batch, stage):
        """From the batch's mixtures to a :class:`~speechbrain_merit.lobes.merit.MeritOutput`."""
        batch = batch.to(self.device)
        wavs, lengths = batch.mixture
        # in validation each process has batches of its own: nothing may wait for the others
        model = self.modules.model if stage == sb.Stage.TRAIN else self.model
        return model(wavs, lengths)

    def compute_objectives(self, predictions, batch, stage):
        """The weighted sum of the emotion, attribute, enhancement, balance and z terms."""
        training = stage == sb.Stage.TRAIN
        terms, total = {}, processes.total if training else alone
        if predictions.logits is not None:
            terms["emotion"] = losses.emotion_loss(
                predictions.logits,
                batch.emotion.data.squeeze(1),
                self.hparams.class_weights.to(self.device),
                self.hparams.label_smoothing if training else 0.0,
                total,
            )
        if predictions.attributes is not None:
            terms["attribute"] = losses.attribute_loss(
                predictions.attributes, batch.attributes.data, total
            )
        tasks = {"ser": list(terms)}
        if predictions.enhanced is not None:
            enhancement = self.enhancement_terms(predictions, batch, total)
            terms.update(enhancement)
            tasks["se"] = list(enhancement)
        for task, routing in predictions.routing.items():
            terms[f"{task} balance"] = losses.load_balance_loss(routing, predictions.frames, total)
            terms[f"{task} z"] = losses.router_z_loss(routing, predictions.frames, total)
        said = self.said(batch, terms, total) if training else {}
        weighted = self.weighted(terms, silent=[name for name in said if not said[name]])
        loss = sum(weighted.values())
        values = {name: term.detach() for name, term in {"loss": loss, **terms}.items()}
        for name, known in said.items():
            values |= {SAID + name: 1.0} if known else {}
            values = values if known else {n: v for n, v in values.items() if n != name}
        values.update(routing_statistics(predictions.routing, predictions.frames, total))
        if training:
            if self.interference.due(self.step):
                shares = {t: sum(weighted[n] for n in names) for t, names in tasks.items() if names}
                scale = self.scaler.get_scale() if self.scaler.is_enabled() else 1.0
                added, measured = self.interference(shares, self.shared_parameters(), scale)
                loss, values = loss + added, values | measured
            self.progress.add(values)
        else:
            self.validated.append(self.validation_rows(predictions, batch, values))
        return loss

    def enhancement_terms(self, predictions, batch, total):
        """The terms of the head's own loss."""
        lengths = batch.mixture.lengths
        inside = self.model.level.applied(batch.clean.data, predictions.factor, lengths)
        noisy = torch.isfinite(batch.snr_db)
        extra = [name for name in EXTRA if getattr(self.hparams, name + "_weight", 0)]
        loss = self.model.enhancement.loss
        return loss(predictions.enhanced, inside, lengths, noisy, total, extra)

    @property
    def model(self):
        """The network itself, also where DistributedDataParallel wraps it."""
        return getattr(self.modules.model, "module", self.modules.model)

    def said(self, batch, terms, total):
        """Whether the joint batch says anything of emotion and attributes.

        It may hold nothing but speech without labels, or of corpora that nobody rated; of an
        attribute one rating says nothing yet.
        """
        known = {}
        if "emotion" in terms:
            known["emotion"] = total((batch.emotion.data != NO_LABEL).sum().float()) > 0
        if "attribute" in terms:
            ratings = torch.isfinite(batch.attributes.data).sum(dim=0)
            known["attribute"] = (total(ratings.float()) > 1).any()
        return {name: bool(found) for name, found in known.items()}

    def weighted(self, terms, silent=()):
        """Each term of the loss under its weight, that of the YAML or a learnt one.

        Of ``silent`` ones a batch says nothing: they are 0, and no weight is learnt from them.
        """
        learnt = self.modules.weighting(terms) if "weighting" in self.modules else {}
        weighted = {
            name: learnt[name]
            if name in learnt
            else getattr(self.hparams, name.split()[-1] + "_weight") * term
            for name, term in terms.items()
        }
        return weighted | {name: 0.0 * weighted[name] for name in silent}

    def shared_parameters(self):
        """The weights of the encoder that train now; both tasks hear through them."""
        return [p for p in self.model.encoder.parameters() if p.requires_grad]

    def on_fit_start(self):
        """Wraps, makes the optimizers and loads the checkpoint, as SpeechBrain does."""
        # DistributedDataParallel averages the gradients of what may train when it wraps, for ever
        for encoder in self.model.encoders:
            encoder.freeze(False)
        self.progress = Progress()
        self.interference = Interference(  # of systems with two tasks alone
            getattr(self.hparams, "gradients", "sum"),
            getattr(self.hparams, "gradient_cosine_steps", 0),
        )
        self.checkpointer.add_recoverable("progress", self.progress, optional_load=True)
        if "weighting" in self.modules and [*self.modules.weighting.parameters()]:  # learnt ones
            self.checkpointer.add_recoverable("weighting", self.modules.weighting)
        super().on_fit_start()
        epoch = self.hparams.epoch_counter.current
        if epoch:  # with more epochs than before, perhaps: what lies ahead follows today's schedule
            self.set_rates(epoch)

    def on_stage_start(self, stage, epoch=None):
        """Empties the records; frees the encoder when its epoch has come."""
        if stage == sb.Stage.TRAIN:
            # so that dropout after an interrupt is what it would have been without
            apart = SEEDS_OF_A_PROCESS * processes.rank()
            self.progress.begin(self.hparams.seed + epoch + apart)
            for encoder in self.model.encoders:
                encoder.freeze(epoch < self.hparams.unfreeze_epoch)
        else:
            self.validated = []

    def on_fit_batch_start(self, batch, should_step):
        """Takes up the random state of a checkpoint before the first step after it."""
        self.progress.before_step()

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Never between the batches of one step: a checkpoint holds no gradients."""
        whole = self.step % self.grad_accumulation_factor == 0
        return whole and super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)

    def validation_rows(self, predictions, batch, values):
        """What the end of validation needs of a batch, in plain values."""
        rows = {
            "values": {name: float(value) for name, value in values.items()},
            "conditions": batch.snr_db.tolist(),
        }
        if predictions.logits is not None:
            rows["truth"] = batch.emotion.data.squeeze(1).tolist()
            rows["probabilities"] = predictions.logits.float().softmax(dim=-1).tolist()
        if predictions.attributes is not None:
            rows["ratings"] = batch.attributes.data.tolist()
            rows["rated"] = predictions.attributes.float().tolist()
        if predictions.waves is not None:
            wavs, lengths = batch.mixture
            gain = si_sdr(predictions.waves, batch.clean.data, lengths)
            gain -= si_sdr(wavs, batch.clean.data, lengths)
            rows["si_sdr"] = gain[torch.isfinite(batch.snr_db)].tolist()
        return rows

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs the stage; after validation, lowers the rates and keeps the best checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = self.progress.means()
            if MEASURED in self.train_stats:
                self.train_stats["gradient cosine"] /= self.train_stats.pop(MEASURED)
            for name in [name for name in self.train_stats if name.startswith(SAID)]:
                self.train_stats[name.removeprefix(SAID)] /= self.train_stats.pop(name)
            return
        batches = processes.unshard(processes.gather(self.validated))
        stats = {
            name: sum(rows["values"][name] for rows in batches) / len(batches)
            for name in batches[0]["values"]
        }
        stats.update(self.validation_scores(batches))
        meta = {"epoch": epoch, **self.anneal(epoch)}
        for train_logger in self.hparams.train_loggers:
            train_logger.log_stats(meta, train_stats=self.train_stats, valid_stats=stats)
        self.checkpointer.save_and_keep_only(
            meta={"score": stats["score"], "epoch": epoch}, max_keys=["score"]
        )

    def validation_scores(self, batches):
        """F1-macro and CCC averaged over SNRs, SI-SDR improvement, and the checkpoint's score.

        score = F1-macro + CCC + si_sdr_score_weight · SI-SDR improvement in dB, of the tasks there
        are; CCC is the mean over the attributes. ``batches`` are those of :meth:`validation_rows`.
        """
        scores = {"score": 0.0}
        f1 = [
            emotion_scores(truth, probabilities, self.hparams.labels)["f1_macro"]
            for truth, probabilities in by_condition(batches, "truth", "probabilities")
        ]
        ccc = [
            attribute_scores(truth, rated, self.hparams.attributes)["ccc"] or 0.0
            for truth, rated in by_condition(batches, "ratings", "rated")
        ]
        gains = [gain for rows in batches for gain in rows.get("si_sdr", ())]
        if f1:
            scores["f1_macro"] = float(sum(f1) / len(f1))
            scores["score"] += scores["f1_macro"]
        if ccc:
            scores["ccc"] = float(sum(ccc) / len(ccc))
            scores["score"] += scores["ccc"]
        if gains:
            scores["si_sdr_gain"] = sum(gains) / len(gains)
            scores["score"] += self.hparams.si_sdr_score_weight * scores["si_sdr_gain"]
        return scores

    def anneal(self, epoch):
        """Sets the learning rates of the next epoch; returns those of the one that ended."""
        rates = {
            name.replace("opt_class", "lr"): optimizer.param_groups[0]["lr"]
            for name, optimizer in self.optimizers_dict.items()
        }
        self.set_rates(epoch)
        return rates

    def set_rates(self, epoch):
        """Sets the learning rates that the schedules give after an epoch."""
        for name, optimizer in self.optimizers_dict.items():
            schedule = getattr(self.hparams, name.replace("opt_class", "lr") + "_annealing")
            sb.nnet.schedulers.update_learning_rate(optimizer, schedule(epoch)[1])

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
        self.model.standardise(
            tuple(batch.to(self.device).mixture) for batch in islice(loader, batches)
        )

    def init_optimizers(self):
        """One optimizer for a pretrained encoder, one for all the rest.

        Two optimizers and not two groups: SpeechBrain clips only an optimizer's first group.
        """
        model = self.model
        parts = {"opt_class": list(self.modules.parameters())}
        pretrained = [encoder for encoder in model.encoders if encoder.trained]
        if pretrained:
            parts["encoder_opt_class"] = [p for e in pretrained for p in e.parameters()]
        own = {id(p) for name, part in parts.items() if name != "opt_class" for p in part}
        parts["opt_class"] = [p for p in parts["opt_class"] if id(p) not in own]
        self.optimizers_dict = {}
        for name, parameters in parts.items():
            training = [p for p in parameters if p.requires_grad]
            if not training:  # an unchanged cascade
                continue
            optimizer = getattr(self.hparams, name)(training)
            self.optimizers_dict[name] = optimizer
            self.checkpointer.add_recoverable(name.replace("opt_class", "optimizer"), optimizer)

    def freeze_optimizers(self, optimizers):
        """Leaves the encoder's optimizer out while the encoder is frozen."""
        if all(encoder.frozen for encoder in self.model.encoders):
            return {name: o for name, o in optimizers.items() if name != "encoder_opt_class"}
        return optimizers


def by_condition(batches, truth, predicted):
    """Two columns of validated batches, apart by SNR: pairs of lists; none without the columns."""
    groups = {}
    for rows in batches:
        for snr_db, *pair in zip(rows["conditions"], rows.get(truth, ()), rows.get(predicted, ())):
            groups.setdefault(snr_db, []).append(pair)
    return [tuple(map(list, zip(*pairs))) for pairs in groups.values()]


def routing_statistics(routing, frames, total=alone):
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
    sums = {}
    for task, decision in routing.items():
        log = decision.logits[frames].detach().log_softmax(dim=-1)
        chosen = decision.experts[frames]
        for expert in range(log.shape[-1]):
            sums[f"{task} use {expert}"] = (chosen == expert).to(log.dtype).mean(dim=-1).sum()
        sums[f"{task} entropy"] = -(log.exp() * log).sum()
    if len(routing) == 2:
        first = [decision.experts[frames][..., 0] for decision in routing.values()]
        sums["agreement"] = (first[0] == first[1]).to(log.dtype).sum()
    if not sums:
        return {}
    *values, count = total(torch.stack([*sums.values(), frames.sum().to(log.dtype)]))
    return {name: value / count for name, value in zip(sums, values)}
