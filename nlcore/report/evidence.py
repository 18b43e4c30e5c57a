"""On what a verdict stands, as a profile states it: a stand-in can support a paper, and never refute it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nlcore.errors import InputError

DEFAULT = "default"


class Evidence(StrEnum):
    """From the paper's own to the least like it."""

    EXACT = "exact"
    SIMULATED = "simulated"
    FROZEN = "frozen backbone"
    STAND_IN = "stand-in"

    @property
    def refutes(self) -> bool:
        """Whether it can speak against a paper.

        A frozen backbone cannot: the papers train their networks to the end, and what a network learns below its head
        may be what makes a claim true. Simulation has checks of what it can tell, claim by claim (`papers/kinds.yaml`).
        """
        return self in (Evidence.EXACT, Evidence.SIMULATED)


MEANINGS = {
    Evidence.EXACT: "the paper's data and protocol",
    Evidence.SIMULATED: "its size and labels, simulated features",
    Evidence.FROZEN: "its images and labels, heads on features of a frozen network",
    Evidence.STAND_IN: "small real data, others than the paper's, or simulated features where they predict real ones "
    "badly",
}


@dataclass(frozen=True)
class StatedEvidence:
    """What the claims of a paper stand on at one profile."""

    default: Evidence
    by_claim: Mapping[str, Evidence] = field(default_factory=dict)

    def of(self, claim: str) -> Evidence:
        """That of a claim's id; what is decided for a variant too ("gs1 as written") stands on what the claim does."""
        return self.by_claim.get(claim.split()[0], self.default)

    @property
    def frozen(self) -> bool:
        """Whether any claim stands on a frozen network."""
        return Evidence.FROZEN in (self.default, *self.by_claim.values())

    @property
    def simulates(self) -> bool:
        """Whether any claim stands on simulation."""
        return Evidence.SIMULATED in (self.default, *self.by_claim.values())

    def without_simulation(self, claims: Iterable[str]) -> StatedEvidence:
        """The same where simulation decides none of these claims: on it they stand on a stand-in."""
        changed = {id: Evidence.STAND_IN for id in claims if self.of(id) is Evidence.SIMULATED}
        return StatedEvidence(self.default, {**self.by_claim, **changed})

    def on_part_of_the_data(self) -> StatedEvidence:
        """The same where the folder is not the paper's data set in its official parts: a stand-in, all of it."""
        return StatedEvidence(Evidence.STAND_IN)

    def beside_the_profile(self) -> StatedEvidence:
        """The same where a person changed the profile: nothing is exact any more."""
        less = lambda evidence: Evidence.STAND_IN if evidence is Evidence.EXACT else evidence
        return StatedEvidence(less(self.default), {id: less(evidence) for id, evidence in self.by_claim.items()})


def read_evidence(entry: Any, claims: Collection[str], *, where: str) -> StatedEvidence:
    """A profile's entry `evidence`: one word for all claims, or claim id -> word with a `default`.

    claims: the ids there are. where: names the profile in messages.

    Raises:
        InputError: no entry, no default, an unknown word, or an unknown claim.
    """
    words = {DEFAULT: entry} if isinstance(entry, str) else entry
    if not isinstance(words, Mapping) or DEFAULT not in words:
        found = "none" if entry is None else repr(entry)
        raise InputError(f"{where}, evidence: found {found}; expected {_words()}, or claim ids and a default, each so")
    unknown = [id for id in words if id != DEFAULT and id not in claims]
    if unknown:
        raise InputError(f"{where}, evidence: no claim {unknown[0]!r}; expected default or one of {', '.join(claims)}")
    read = {id: _word(word, f"{where}, evidence of {id}") for id, word in words.items()}
    return StatedEvidence(read.pop(DEFAULT), read)


def _word(word: Any, where: str) -> Evidence:
    if word not in list(Evidence):
        raise InputError(f"{where}: found {word!r}; expected {_words()}")
    return Evidence(word)


def _words() -> str:
    return f"one of {', '.join(Evidence)}"
