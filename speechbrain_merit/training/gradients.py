"""Do the two tasks pull the shared encoder apart? The cosine of their gradients, and PCGrad.

T. Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020 (arXiv 2001.06782): where the
gradients of two tasks conflict (their cosine is negative), each loses its component along the
other.
"""

import torch

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.training import processes

MEASURED = "gradient steps"  # the share of the steps whose cosine was measured


def task_gradients(losses, parameters, scale=1.0):
    """The gradient of each loss on shared parameters, flat.

    Arguments
    ---------
    losses : sequence of torch.Tensor
        Scalars of one graph, which is kept.
    parameters : sequence of torch.Tensor
        P values in all; what a loss does not depend on counts as 0.
    scale : float
        Of the losses on their way back, as `torch.amp.GradScaler` has it: in half precision
        small gradients would be 0 without it.

    Returns
    -------
    torch.Tensor
        (losses, P), those of the joint batch where a run has several processes.

    Example
    -------
    >>> weight = torch.ones(2, requires_grad=True)
    >>> task_gradients([weight[0] * 3, weight.sum()], [weight])
    tensor([[3., 0.],
            [1., 1.]])
    """
    rows = []
    for loss in losses:
        scaled = loss * scale
        found = torch.autograd.grad(scaled, parameters, retain_graph=True, allow_unused=True)
        parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters)]
        rows.append(torch.cat([part.flatten() for part in parts]))
    return processes.total(torch.stack(rows) / scale) / processes.count()


def cosine(gradients):
    """The cosine of two gradients (2, P); 0 where one of them is 0.

    Example
    -------
    >>> cosine(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor(-1.)
    """
    return torch.nn.functional.cosine_similarity(*gradients, dim=0, eps=1e-30)


def surgery(gradients):
    """What PCGrad adds to the sum of two gradients (2, P): 0 where they do not conflict.

    Example
    -------
    >>> one, two = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    >>> one + two + surgery(torch.stack([one, two]))  # (.5, .5) and (0, 1)
    tensor([0.5000, 1.5000])
    """
    first, second = gradients
    product = (first * second).sum()  # of small values: no product of matrices in half precision
    if product >= 0:
        return torch.zeros_like(first)
    return -product * (first / first.square().sum() + second / second.square().sum())


def pull(parameters, gradient):
    """A term of the loss, 0 in value, whose gradient on parameters is a given one (P,).

    So that a changed gradient goes the way of all others: through accumulation, the scaling of half
    precision, and the averaging over processes.

    Example
    -------
    >>> weight = torch.ones(2, requires_grad=True)
    >>> term = pull([weight], torch.tensor([3.0, 4.0]))
    >>> term.backward()
    >>> term.item(), weight.grad
    (0.0, tensor([3., 4.]))
    """
    parts = zip(parameters, gradient.split([p.numel() for p in parameters]))
    # without those of gradient 0: what no forward used, DistributedDataParallel holds for done
    pulls = ((p * g.view_as(p)).sum() for p, g in parts if g.any())
    term = sum(pulls, gradient.new_zeros(()))
    return term - term.detach()


class Interference:
    """Measures the conflict of the two tasks on the encoder they share, and may resolve it.

    Arguments
    ---------
    gradients : str
        ``sum``, the gradient of the sum of the losses; or ``pcgrad``.
    every : int
        The cosine is measured at every so many steps, 0 never; with ``pcgrad`` at each.

    Raises
    ------
    SettingsError
        ``gradients`` is neither.

    Example
    -------
    >>> weight = torch.ones(1, requires_grad=True)
    >>> losses = {"se": 3 * weight.sum(), "ser": -weight.sum()}
    >>> term, values = Interference("pcgrad")(losses, [weight])
    >>> (sum(losses.values()) + term).backward()  # on a line, all of both is conflict
    >>> weight.grad.item(), values["gradient cosine"].item()
    (0.0, -1.0)
    """

    def __init__(self, gradients="sum", every=0):
        if gradients not in ("sum", "pcgrad"):
            raise SettingsError(f"gradients is {gradients!r}: choose one of sum, pcgrad.")
        self.resolve, self.every = gradients == "pcgrad", every

    def due(self, step):
        """Whether a step of the training is one to look at."""
        return self.resolve or (self.every > 0 and step % self.every == 0)

    def __call__(self, losses, parameters, scale=1.0):
        """What the loss gains (a scalar of value 0), and what is measured, by name.

        Arguments
        ---------
        losses : dict
            Task → its share of the loss, a scalar.
        parameters : list of torch.Tensor
            Of the encoder, those that train.
        scale : float
            As of :func:`task_gradients`. Where it is too large yet, the step will be left out, and
            nothing is measured in it.
        """
        if len(losses) < 2 or not parameters:
            return 0.0, {}
        gradients = task_gradients(list(losses.values()), parameters, scale)
        if not gradients.isfinite().all():
            return 0.0, {}
        # the mean over an epoch is of the steps that were measured
        values = {"gradient cosine": cosine(gradients), MEASURED: 1.0}
        return (pull(parameters, surgery(gradients)) if self.resolve else 0.0), values
