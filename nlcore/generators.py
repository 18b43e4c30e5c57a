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

    Args:
        names: what is drawn and for which run, such as the paper, the purpose, the noise as a fraction, the seed. 1 and
            1.0 are different names, as are ("a", "b") and ("ab",).

    Returns:
        A new generator (PCG64). Two calls with the same names draw the same numbers.

    Raises:
        ValueError: a name is NaN or infinite.
        TypeError: a name is nothing JSON knows, such as a NumPy scalar.

    >>> generator("multi_al", "noise", 0.4, 0).integers(100, size=3)
    array([53, 97, 55])
    """
    return np.random.Generator(np.random.PCG64(_seed_sequence(names)))


def torch_generator(*names: Name, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded like `generator`; CPU and CUDA draw different numbers from one seed.

    Args:
        names: as for `generator`, and refused like there.
        device: where the numbers are drawn. Draw on the CPU what must not depend on the device.

    >>> first, again = (torch_generator("multi_al", "order", 0) for _ in range(2))
    >>> torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=again))
    True
    """
    seed = int(_seed_sequence(names).generate_state(1, np.uint64)[0]) >> 1  # torch takes signed 64-bit seeds
    return torch.Generator(device=device).manual_seed(seed)


def _seed_sequence(names: tuple[Name, ...]) -> np.random.SeedSequence:
    text = json.dumps(names, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return np.random.SeedSequence(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
