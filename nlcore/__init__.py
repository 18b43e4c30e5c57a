"""Losses, scorers, training loops and protocols of five papers on noisy multi-label image classification."""

from nlcore import suite as suite  # from here on it says what a light install lacks

__version__ = "0.1.0"
