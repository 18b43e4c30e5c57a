"""A run that computes nothing worth mentioning, in a module that worker processes can load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlcore.runs import Result, Spec


class Trivial(Spec):
    """Its number, and ten more."""

    number: int

    def compute(self, inputs: Sequence[Result]) -> Result:
        return Result({"number": self.number}, {"array": np.arange(10)})
