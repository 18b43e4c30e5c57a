"""A loss for paper 4, `galc_slr`: run_all.py --papers galc_slr --method examples/plain_bce.py:plain_bce"""

from torch.nn.functional import binary_cross_entropy_with_logits


def plain_bce(logits, targets):
    """Binary cross-entropy.

    logits, targets: (B, K) of a batch, targets 1 and 0 as noise left them. Returns one number, summed as ASL's is.
    """
    return binary_cross_entropy_with_logits(logits, targets, reduction="sum")
