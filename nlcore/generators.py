"""Random generators that depend on *what* is drawn, not on when or where.

Every draw of the suite comes from a generator made from names: the run's key and the purpose of the draw. So results
do not depend on the order of the runs, on the number of workers, or on which machine takes which run.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch

Name = str | int | float | bool | None | tuple["Name", ...]


def generator(*names: Name) -> np.random.Generator:
    """A NumPy generator seeded by the SHA-256 of the JSON of `names`, the same on every machine.

    1 and 1.0 are different names, as are ("a", "b") and ("ab",). NaN and infinity are not accepted (ValueError), nor
    is anything JSON does not know, such as a NumPy scalar (TypeError).

    >>> generator("multi_al", "noise", 0.4, 0).integers(100, size=3)
    array([53, 97, 55])
    """
    return np.random.Generator(np.random.PCG64(_seed_sequence(names)))


def torch_generator(*names: Name, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded like `generator`; CPU and CUDA draw different numbers from one seed."""
    seed = int(_seed_sequence(names).generate_state(1, np.uint64)[0]) >> 1  # torch takes signed 64-bit seeds
    return torch.Generator(device=device).manual_seed(seed)


def _seed_sequence(names: tuple[Name, ...]) -> np.random.SeedSequence:
    text = json.dumps(names, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return np.random.SeedSequence(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
