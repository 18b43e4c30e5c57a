"""Losses, scorers, training loops and protocols of five papers on noisy multi-label image classification."""

__version__ = "0.1.0"
