"""How unsure the classifier is about an image: entropies of papers 1 and 2. NumPy arrays or torch tensors."""

from __future__ import annotations

from typing import Any, Literal

from array_api_compat import array_namespace

from nlcore.errors import InputError, require

Array = Any  # a NumPy array or a torch tensor


def uncertainty_entropy(probs: Array) -> Array:
    """Uncertainty entropy of paper 1 (Eqs. 8, 9): the mean binary entropy of the L classes, in bits.

    H(x) = -1/L sum over y of P(y|x) log2 P(y|x) + (1 - P(y|x)) log2(1 - P(y|x)), with 0 log 0 = 0.

    Args:
        probs: (..., N, L) sigmoids P(y|x).

    Returns:
        (..., N) in [0, 1]: 0 when every class is certain, 1 when all are at 0.5.

    Raises:
        InputError: fewer than two axes, or an entry outside [0, 1].

    >>> uncertainty_entropy(np.array([[0.5, 1.0], [0.5, 0.5]])).tolist()
    [0.5, 1.0]
    """
    xp, probs = checked_probabilities(probs)
    return xp.mean(_times_log(xp, probs, xp.log2) + _times_log(xp, 1 - probs, xp.log2), axis=-1)


def prediction_entropy(probs: Array, *, form: Literal["one_sided", "binary"] = "one_sided") -> Array:
    """Entropy of paper 2 (Eq. 6): u(x) = sum over the L classes of -p ln p, with 0 ln 0 = 0.

    As printed it is one-sided: a class at p = 1/e counts most, not one at 0.5. "binary" adds the other side,
    -(1 - p) ln(1 - p). The paper calls p "the frequentist probability of a label in our data", which would be the same
    for every image; Algorithm 1 takes it from validating the model on the image, and so do we.

    Args:
        probs: (..., N, L) sigmoids p.
        form: "one_sided", as printed, or "binary".

    Returns:
        (..., N), in nats, at least 0; at most L / e, or L ln 2 for "binary".

    Raises:
        InputError: an unknown form, fewer than two axes, or an entry outside [0, 1].

    >>> prediction_entropy(np.array([[0.5, 1.0], [0.5, 0.5]])).round(4).tolist()
    [0.3466, 0.6931]
    """
    xp, probs = checked_probabilities(probs)
    if form not in ("one_sided", "binary"):
        raise InputError(f"form of entropy: found {form!r}; expected 'one_sided' or 'binary'")
    entropy = _times_log(xp, probs, xp.log)
    return xp.sum(entropy if form == "one_sided" else entropy + _times_log(xp, 1 - probs, xp.log), axis=-1)


def checked_probabilities(probs: Array) -> tuple[Any, Array]:
    """The array's namespace (NumPy or torch, by the array API standard) and the array, checked.

    Args:
        probs: (..., N, L) with L at least 1.

    Raises:
        InputError: fewer than two axes, no class, or an entry outside [0, 1] or NaN.
    """
    xp = array_namespace(probs)
    valid = probs.ndim >= 2 and probs.shape[-1] > 0
    require(valid, "shape of probabilities", tuple(probs.shape), "(images, classes)")
    if not xp.all((probs >= 0) & (probs <= 1)):  # NaN fails both
        raise InputError("probabilities: found other values or NaN; expected fractions between 0 and 1")
    return xp, probs


def _times_log(xp: Any, p: Array, log: Any) -> Array:
    """-p log p, elementwise, 0 where p = 0."""
    return -p * log(xp.where(p > 0, p, xp.ones_like(p)))
