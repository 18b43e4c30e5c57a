"""What a run is: a frozen, typed description, and the key that names its result."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcore.runs.fingerprint import code_fingerprint
from nlcore.runs.once import once


@dataclass(frozen=True)
class Result:
    """What a run gives: JSON values (numbers, strings, lists of them) and arrays."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """So many units of a kind of work, whatever computes it: `Work("train tresnet_m 224", images)`.

    divisible: whether several processes can do it together, each on a GPU of its own (`nlcore.training.distributed`).
    """

    unit: str
    amount: float
    divisible: bool = False


class Spec(BaseModel):
    """A run's complete description; its fields are all that its result may depend on.

    A subclass states its hyper-parameters as fields and how the result follows from them in `compute`. Random
    draws come from generators seeded by the fields (`nlcore.generators`), never from global state, so a result
    does not depend on the order of the runs or on the number of workers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    MEMBERS: ClassVar[int] = 8  # at most so many share a pass, unless `most_together` says otherwise
    __slots__ = ("_hash",)  # no field: neither compared nor copied nor pickled, for other processes hash otherwise

    def __hash__(self) -> int:
        """That of the fields, reckoned once: a plan looks a run up dozens of times."""
        try:
            return object.__getattribute__(self, "_hash")
        except AttributeError:
            object.__setattr__(self, "_hash", hash((type(self), *map(self.__dict__.get, type(self).model_fields))))
            return self._hash

    def requires(self) -> Sequence[Spec]:
        """Runs whose results `compute` takes, in this order."""
        return ()

    def data_fingerprint(self) -> str:
        """Names the data read from outside the code, so that other data make another run."""
        return ""

    def work(self) -> Work:
        """How much the run computes, for plans and the display of progress; see `nlcore.runs.cost`."""
        return Work(type(self).__name__, 1.0)

    def device_name(self) -> str:
        """What computes it, by its own field `device` or that of a description in it; "cpu" without such a field."""
        fields = vars(self)
        described = (fields, *(vars(value) for value in fields.values() if isinstance(value, BaseModel)))
        return next((found["device"] for found in described if "device" in found), "cpu")

    def compute(self, inputs: Sequence[Result]) -> Result:
        """The result, from the fields and the results of `requires()`."""
        raise NotImplementedError

    def shared_pass(self) -> Hashable | None:
        """What runs of this class must have in common to share a pass; None: it is computed alone.

        No run of the class may lead to another of it, whatever it requires in between, and no class that shares passes
        to one that leads back to it.
        """
        return None

    def most_together(self) -> int:
        """At most so many runs like this one share a pass: as many as are computed fastest."""
        return self.MEMBERS

    @classmethod
    def compute_together(cls, specs: Sequence[Spec], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """The results of runs that may share a pass, with the inputs of each.

        On the CPU they must be the bytes of each alone: who shares a pass depends on what the store lacks. On a GPU
        they are so up to rounding. There is no scratch folder in a shared pass.
        """
        return [spec.compute(own) for spec, own in zip(specs, inputs, strict=True)]

    @property
    def name(self) -> str:
        """One line for people: the class and its own fields, without the descriptions that a whole grid shares."""
        fields = ", ".join(f"{name}={value}" for name, value in self if not isinstance(value, BaseModel))
        return f"{type(self).__name__}({fields})"

    @property
    def description(self) -> str:
        """The class and all that its result depends on, as JSON in one line."""
        return f'["{type(self).__qualname__}", {self.model_dump_json()}]'

    @property
    def key(self) -> str:
        """SHA-256 over the fields, the data, the code that computes it, and the runs it requires."""
        return _key(self, self.data_fingerprint())


def seeds_of(spec: Spec) -> tuple[int, ...]:
    """The seeds of a run: one, those of all its members, or none."""
    return tuple(getattr(spec, "seeds", ())) or ((spec.seed,) if hasattr(spec, "seed") else ())


@cache  # by the data's name too: a process that lives on sees when they have changed
def _key(spec: Spec, data: str) -> str:
    required = [required.key for required in once(type(spec).requires, spec)]
    content = [spec.description, data, code_fingerprint(type(spec)), *required]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()
