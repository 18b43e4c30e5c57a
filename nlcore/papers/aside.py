"""Runs of a paper that stand aside from its grid: behind one artefact, and unseen by all others and by the claims."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import SerializeAsAny

from nlcore.runs import Result, Spec, Work


class Aside(Spec):
    """A run of a paper, aside from its grid. Its result is that of `run`, or of what `placed` makes of it."""

    run: SerializeAsAny[Spec]

    @property
    def source(self) -> Any:
        """What it is trained on."""
        return self.run.source

    @property
    def protocol(self) -> Any:
        """The settings it is trained with."""
        return self.run.protocol

    @property
    def noise(self) -> float | None:
        """Share of the labels, or None where it sees none of the noise."""
        return self.run.noise

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its members."""
        return tuple(getattr(self.run, "seeds", ())) or (self.run.seed,)

    @property
    def name(self) -> str:
        own = "".join(f", {name}={value}" for name, value in self if name != "run")
        return f"{type(self).__name__}({self.run.name}{own})"

    def data_fingerprint(self) -> str:
        """A run of other data or code, or that needs other runs, has another key."""
        return self.run.key

    def device_name(self) -> str:
        return self.run.device_name()

    def work(self) -> Work:
        return self.run.work()

    def shared_pass(self) -> Hashable | None:
        own = self.run.shared_pass()
        return None if own is None else (type(self.run), own)

    def most_together(self) -> int:
        return self.run.most_together()

    def requires(self) -> Sequence[Spec]:
        return self.run.requires()

    def placed(self) -> Spec:
        """What is computed."""
        return self.run

    @classmethod
    def compute_together(cls, specs: Sequence[Aside], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """As the paper's own runs."""
        return type(specs[0].run).compute_together([spec.placed() for spec in specs], inputs)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """As the paper's own run."""
        return self.placed().compute(inputs)
