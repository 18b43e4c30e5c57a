"""Losses on logits for multi-label targets: 1 present, 0 absent, -1 unknown (no loss and no gradient).

Logits and targets have the same shape (..., B, K): a batch of B samples and K classes, after any leading axes. A stack
of M models puts its member axis first. Half-precision logits are computed in float32: in float16 the logarithm of a
clamped probability overflows.

`reduction`: "sum" over everything; "mean" over the known cells of the last two axes, then summed over leading axes,
so that every member of a stack is trained as it would be alone; "none" keeps the shape. Every loss is in nats, at least
0, of float32 or, where the logits are, float64; it is a scalar tensor, or (..., B, K) for "none".

Training needs no loss, only its gradient. Where that has a closed form it stands here too, as `..._gradient`: a few
operations on (..., B, K) in place of some forty that automatic differentiation records and goes back through.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from nlcore.errors import InputError, require

SMALLEST_PROBABILITY = 1e-8  # of the public ASL code: keeps the logarithm finite


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4,
    gamma_pos: float = 0,
    clip: float = 0.05,
    reduction: str = "sum",
    focusing_gradient: bool = False,
) -> Tensor:
    """The asymmetric loss ASL (paper 2, Eqs. 1-3; paper 4, Section 3.3) of p = sigmoid(logits).

    With the shifted probability p_m = max(p - clip, 0), a cell costs

        -(1 - p)^gamma_pos log(p)            where the target is 1,
        -(p_m)^gamma_neg log(1 - p_m)        where it is 0,
        nothing                              where it is -1.

    Args:
        logits: (..., B, K).
        targets: (..., B, K) of 1, 0 and -1 (unknown).
        gamma_neg: focusing of the absent classes, gamma^- of Eq. 1: the larger, the less an easy cell counts.
        gamma_pos: focusing of the present ones, gamma^+.
        clip: the margin m of Eq. 2, a probability: an absent class below it costs nothing.
        reduction: "sum" (the published recipe's), "mean" or "none"; see the module's text.
        focusing_gradient: False treats the factor before the logarithm as a constant, as the published recipe does.

    Returns:
        The loss, at least 0: a scalar, or (..., B, K) for "none".

    Raises:
        InputError: the shapes differ, or the reduction is unknown.

    >>> asymmetric_loss(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]), reduction="none")  # -log .5, -.45^4 log .55
    tensor([[0.6931, 0.0245, -0.0000]])
    """
    _check_shapes(logits, targets)
    return _asymmetric_loss_of_probabilities(
        torch.sigmoid(_at_least_float32(logits)), targets, gamma_neg, gamma_pos, clip, reduction, focusing_gradient
    )


def asymmetric_gradient(
    logits: Tensor, targets: Tensor, *, gamma_neg: float = 4, gamma_pos: float = 0, clip: float = 0.05
) -> Tensor:
    """The gradient of the summed `asymmetric_loss` by the logits, the focusing factor taken as a constant.

    With p_m = max(p - clip, 0) it is, in a cell,

        -(1 - p)^(gamma_pos + 1)                     where the target is 1,
        (p_m)^gamma_neg p (1 - p) / (1 - p_m)        where it is 0,
        0                                            where it is -1.

    Args:
        logits, targets, gamma_neg, gamma_pos, clip: as for `asymmetric_loss`.

    Returns:
        (..., B, K), in float32 at least.

    Raises:
        InputError: the shapes differ.

    >>> asymmetric_gradient(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]))  # -.5, .45^4 .25 / .55
    tensor([[-0.5000,  0.0186,  0.0000]])
    """
    _check_shapes(logits, targets)
    p = torch.sigmoid(_at_least_float32(logits))
    q, shifted = 1 - p, (p - clip).clamp_(min=0)
    absent = _absent(shifted, gamma_neg, cut=clip < SMALLEST_PROBABILITY).mul_(q.mul_(p))
    missed = 1 - functional.threshold(p, SMALLEST_PROBABILITY, 1)  # no gradient where the logarithm is cut off
    present = missed.neg_() if gamma_pos == 0 else (_power(missed, gamma_pos) * missed).neg_()
    return _by_target(present, absent, targets)


def asymmetric_calibration(
    probabilities: Tensor, *, gamma_neg: float = 4, gamma_pos: float = 0, clip: float = 0.05
) -> Tensor:
    """How often a class is there of which a model, trained with ASL to its end, says p: the inverse of ASL's own bias.

    Where a class is there with chance q, the gradients of both targets cancel at the p with

        q / (1 - q) = p (p_m)^gamma_neg / ((1 - p_m) (1 - p)^gamma_pos),    p_m = max(p - clip, 0),

    the focusing factors taken as constants, as the published recipe does. So p is far above a small q: what ASL puts
    out are scores, not chances.

    Args:
        probabilities: p, of any shape, in [0, 1].
        gamma_neg, gamma_pos, clip: as for `asymmetric_loss`.

    Returns:
        q, of the same shape, in [0, 1], in float32 at least.

    >>> asymmetric_calibration(torch.tensor([0.04, 0.435, 0.9]))
    tensor([0.0000, 0.0153, 0.7580])
    """
    p = _at_least_float32(probabilities)
    shifted = (p - clip).clamp(min=0)
    present, absent = p * _power(shifted, gamma_neg), (1 - shifted) * _power(1 - p, gamma_pos)
    return present / (present + absent)


def asymmetric_loss_of_probabilities(
    probabilities: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4,
    gamma_pos: float = 0,
    clip: float = 0.05,
    reduction: str = "sum",
    focusing_gradient: bool = False,
) -> Tensor:
    """`asymmetric_loss` for probabilities in place of logits: paper 4 (3.3) puts its corrected C^T g(x) into it.

    Args:
        probabilities: (..., B, K) in [0, 1]. One below 1e-8 where the target is 1 costs as much as 1e-8 does.
        targets, gamma_neg, gamma_pos, clip, reduction, focusing_gradient: as for `asymmetric_loss`.

    Returns:
        As `asymmetric_loss`.

    Raises:
        InputError: the shapes differ, or the reduction is unknown.

    >>> asymmetric_loss_of_probabilities(torch.tensor([[0.5, 0.5]]), torch.tensor([[1, 0]]))
    tensor(0.7177)
    """
    _check_shapes(probabilities, targets)
    return _asymmetric_loss_of_probabilities(
        _at_least_float32(probabilities), targets, gamma_neg, gamma_pos, clip, reduction, focusing_gradient
    )


def asymmetric_gradient_of_probabilities(
    probabilities: Tensor, targets: Tensor, *, gamma_neg: float = 4, gamma_pos: float = 0, clip: float = 0.05
) -> Tensor:
    """The gradient of the summed `asymmetric_loss_of_probabilities` by the probabilities; see `asymmetric_gradient`.

    In a cell it is -(1 - p)^gamma_pos / p where the target is 1, and (p_m)^gamma_neg / (1 - p_m) where it is 0.

    Args:
        probabilities: (..., B, K) in [0, 1], or beyond 1 by what a correction leaves there.
        targets, gamma_neg, gamma_pos, clip: as for `asymmetric_loss`.

    Returns:
        (..., B, K), in float32 at least.

    Raises:
        InputError: the shapes differ.

    >>> asymmetric_gradient_of_probabilities(torch.tensor([[0.5, 0.5]]), torch.tensor([[1, 0]]))
    tensor([[-2.0000,  0.0746]])
    """
    _check_shapes(probabilities, targets)
    p = _at_least_float32(probabilities)
    absent = _absent((p - clip).clamp_(min=0), gamma_neg, cut=True)
    present = (_power(1 - p, gamma_pos) / p.clamp(min=SMALLEST_PROBABILITY)).neg_().mul_(_has_logarithm(p))
    return _by_target(present, absent, targets)


def asymmetric_loss_raw(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4,
    gamma_pos: float = 0,
    clip: float = 0.05,
    reduction: str = "sum",
    focusing_gradient: bool = False,
) -> Tensor:
    """What ASL's public formula does with a target t of -1 when nobody masks it (a reading of paper 2's baseline).

    The public code is arithmetic in t: log-likelihood t log(p) + (1 - t) log(q) with q = min(1 - p + clip, 1), factor
    (1 - p t - q (1 - t))^(gamma_pos t + gamma_neg (1 - t)). At t = -1 the log-likelihood is 2 log(q) - log(p), the
    factor (1 + p - 2 q)^(2 gamma_neg - gamma_pos): a strong push towards "absent" that also rewards a small p. Equal
    to `asymmetric_loss` on targets 0 and 1. With an exponent that is no whole number the factor can be NaN, as there.

    Args:
        logits, targets, gamma_neg, gamma_pos, clip, reduction, focusing_gradient: as for `asymmetric_loss`; here an
            unknown cell has a loss and counts in the "mean".

    Returns:
        As `asymmetric_loss`, but possibly below 0.

    Raises:
        InputError: the shapes differ, or the reduction is unknown.

    >>> asymmetric_loss_raw(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]), reduction="none")
    tensor([[6.9315e-01, 2.4515e-02, 3.2934e-04]])
    """
    _check_shapes(logits, targets)
    p, t = torch.sigmoid(_at_least_float32(logits)), targets.to(torch.promote_types(logits.dtype, torch.float32))
    q = (1 + clip - p).clamp(max=1)
    log_likelihood = t * p.clamp(min=SMALLEST_PROBABILITY).log()
    log_likelihood = log_likelihood + (1 - t) * q.clamp(min=SMALLEST_PROBABILITY).log()
    base = 1 - p * t - q * (1 - t)
    factor = (base if focusing_gradient else base.detach()) ** (gamma_pos * t + gamma_neg * (1 - t))
    return _reduce(-factor * log_likelihood, torch.ones_like(t, dtype=torch.bool), reduction)


def masked_binary_cross_entropy(logits: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of sigmoid(logits) over the cells whose target is known: what papers 3 and 5 train with.

    A cell costs -log(p) where the target is 1, and -log(1 - p) where it is 0, with p = sigmoid(logits).

    Args:
        logits: (..., B, K).
        targets: (..., B, K) of 1, 0 and -1 (unknown); anything between 0 and 1 is taken as a soft label.
        reduction: "mean", "sum" or "none"; see the module's text.

    Returns:
        The loss, at least 0: a scalar, or (..., B, K) for "none".

    Raises:
        InputError: the shapes differ, or the reduction is unknown.

    >>> masked_binary_cross_entropy(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]))
    tensor(0.6931)
    """
    _check_shapes(logits, targets)
    logits, known = _at_least_float32(logits), targets >= 0
    cells = functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return _reduce(cells.masked_fill(~known, 0), known, reduction)


def binary_cross_entropy_gradient(logits: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """The gradient of `masked_binary_cross_entropy` by the logits: p - t where the target is known, else 0.

    Args:
        logits, targets: as for `masked_binary_cross_entropy`.
        reduction: "mean" divides by the number of known cells of the last two axes; "sum" does not.

    Returns:
        (..., B, K), in float32 at least.

    Raises:
        InputError: the shapes differ, or the reduction is another.

    >>> binary_cross_entropy_gradient(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]))
    tensor([[-0.2500,  0.2500,  0.0000]])
    """
    _check_shapes(logits, targets)
    require(reduction in ("mean", "sum"), "reduction", reduction, "'mean' or 'sum'")
    p = torch.sigmoid(_at_least_float32(logits))
    known = _known(targets.to(p.dtype))
    cells = p.sub_(targets).mul_(known)
    return cells if reduction == "sum" else cells.div_(known.sum((-2, -1), keepdim=True).clamp_(min=1))


def large_loss_gradient(logits: Tensor, targets: Tensor, *, share: float, corrected: bool) -> Tensor:
    """The gradient by the logits of "large loss matters" (Kim et al., CVPR 2022): LL-R, or LL-Ct where `corrected`.

    Unknown labels count as absent, with binary cross-entropy as the loss. Present ones among them are learnt late, and
    until then cost most: so in a batch of B images the `share` of its B K cells that are unknown and cost most is left
    out (LL-R, rejected), or counts as present (LL-Ct, temporarily corrected). The paper lets the share grow by 0.002 an
    epoch from 0.

    Args:
        logits: (..., B, K).
        targets: (..., B, K) of 1, 0 and -1 (unknown). An image without any known label takes no part.
        share: of the cells of a batch, a fraction in [0, 1]; rounded up to a whole number of cells.
        corrected: LL-Ct in place of LL-R.

    Returns:
        (..., B, K), in float32 at least; of the mean over the cells of the images that take part.

    Raises:
        InputError: the shapes differ, or the share is no fraction.

    >>> logits, targets = torch.tensor([[2.0, 0.0, -2.0]]), torch.tensor([[-1, 1, -1]])
    >>> 3 * large_loss_gradient(logits, targets, share=0.3, corrected=False)  # the first costs most
    tensor([[ 0.0000, -0.5000,  0.1192]])
    >>> 3 * large_loss_gradient(logits, targets, share=0.3, corrected=True)
    tensor([[-0.1192, -0.5000,  0.1192]])
    """
    _check_shapes(logits, targets)
    require(0 <= share <= 1, "share", share, "a fraction from 0 to 1")
    z = _at_least_float32(logits)
    taking_part = (targets >= 0).any(dim=-1, keepdim=True)
    cells = taking_part.sum((-2, -1), keepdim=True) * targets.shape[-1]
    most = math.ceil(share * z.shape[-2] * z.shape[-1])
    costs = z.masked_fill((targets >= 0) | ~taking_part, -torch.inf)
    largest = _largest(costs, (share * cells).ceil(), most=max(most, 1))
    gradient = torch.sigmoid(z) - targets.clamp(min=0)
    gradient = torch.where(largest, gradient - 1 if corrected else 0, gradient)
    return gradient.masked_fill(~taking_part, 0) / cells.clamp(min=1)


def _largest(values: Tensor, numbers: Tensor, *, most: int) -> Tensor:
    """Where the `numbers` (..., 1, 1), at most `most`, largest of each (B, K) of `values` (..., B, K) are; never where
    one is -inf."""
    ordered = values.flatten(-2).topk(most, dim=-1).values
    last = (numbers.long().flatten(-2) - 1).clamp(min=0)
    bound = ordered.gather(-1, last).unsqueeze(-1)
    return (values >= bound) & (numbers > 0) & values.isfinite()


def _asymmetric_loss_of_probabilities(
    p: Tensor,
    targets: Tensor,
    gamma_neg: float,
    gamma_pos: float,
    clip: float,
    reduction: str,
    focusing_gradient: bool,
) -> Tensor:
    positive, known = targets > 0, targets >= 0
    of_target = torch.where(positive, p, (1 + clip - p).clamp(max=1))  # p, or 1 - p_m
    miss = 1 - (of_target if focusing_gradient else of_target.detach())
    factor = torch.where(positive, _power(miss, gamma_pos), _power(miss, gamma_neg)).masked_fill(~known, 0)
    return _reduce(-factor * of_target.clamp(min=SMALLEST_PROBABILITY).log(), known, reduction)


def _absent(shifted: Tensor, gamma_neg: float, *, cut: bool) -> Tensor:
    """(p_m)^gamma_neg / (1 - p_m), without gradient below the margin; `cut`: nor where the logarithm is cut off."""
    rest = 1 - shifted
    factor = _power(shifted, gamma_neg) if gamma_neg else shifted.sign()
    if not cut:
        return factor.div_(rest)
    return factor.div_(rest.clamp(min=SMALLEST_PROBABILITY)).mul_(_has_logarithm(rest))


# Gradients select by arithmetic: on a CPU a comparison and what follows from it take several times as long, and would
# be most of a head's step.


def _has_logarithm(p: Tensor) -> Tensor:
    """1 where p is above `SMALLEST_PROBABILITY`, else 0: there the logarithm is cut off and has no gradient."""
    return (p - SMALLEST_PROBABILITY).clamp_(0, 1).ceil_()


def _known(targets: Tensor) -> Tensor:
    """1 where the target is 0 or more, 0 where it is -1."""
    return targets.clamp(max=0).add_(1)


def _by_target(present: Tensor, absent: Tensor, targets: Tensor) -> Tensor:
    """`present` where the target is 1, `absent` where it is 0, and 0 where it is -1; all of them finite."""
    targets = targets.to(present.dtype)
    return torch.lerp(absent, present, targets).mul_(_known(targets))


def _power(base: Tensor, exponent: float) -> Tensor:
    """base ** exponent; the recipe's own exponents, 0 and 4, without the slow general power function."""
    if exponent == 0:
        return torch.ones((), dtype=base.dtype, device=base.device)
    return base.square().square_() if exponent == 4 else base**exponent


def _reduce(cells: Tensor, known: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return cells
    if reduction == "sum":
        return cells.sum()
    if reduction == "mean":
        return (cells.sum((-2, -1)) / known.sum((-2, -1)).clamp(min=1)).sum()
    raise InputError(f'reduction: found {reduction!r}; expected "sum", "mean" or "none"')


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_shapes(values: Tensor, targets: Tensor) -> None:
    expected = f"{tuple(values.shape)}, that of the predictions"
    require(values.shape == targets.shape, "shape of targets", tuple(targets.shape), expected)
