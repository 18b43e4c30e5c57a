"""verdicts.json: every claim of a paper with all its parts and the differences that decide them, for machines.

Its schema is kept beside this module (`verdicts.schema.json`, JSON Schema 2020-12). From the differences and regions in
it each verdict can be decided again; a folder that was made before there were any keeps its intervals alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlcore.errors import InputError
from nlcore.report.claims import ClaimVerdict
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import Part, Verdict

NAME = "verdicts.json"
SCHEMA = "verdicts.schema.json"
EDITION = 2
DIGITS = 6  # of a difference; measured numbers carry four


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecidedPart(_Record):
    """One part. `low` and `high` bound the 95 % interval, `from_` and `to` the region that the claim says."""

    name: str
    verdict: Verdict
    reason: str
    from_: float | None = Field(alias="from", description="lower bound of what is claimed, excluded; null: none")
    to: float | None = Field(description="upper bound of what is claimed, excluded; null: none")
    published: float | None = Field(description="the paper's own size of the difference")
    mean: float | None
    low: float | None
    high: float | None
    detectable: float | None = Field(description="smallest difference that would have been shown, 80 % of the time")
    power: float | None = Field(description="chance to confirm it, true at its published size, or at zero for a margin")
    pairs: int = Field(description="independent units")
    differences: list[list[float]] = Field(description="one list per stratum, one number per independent unit")
    of_images: float | None = Field(None, description="standard error over draws of the test images, where known")
    images: float | None = Field(None, description="the share of the mean's squared error that this is")
    shown: str = Field(description="mean and interval for people")


class Decided(_Record):
    """One claim: the word of its weakest part, and all parts."""

    id: str
    claim: str
    verdict: Verdict
    evidence: Evidence
    confirmed: int = Field(description="parts that hold, at least in direction")
    power: float | None = Field(description="all parts are confirmed at most so likely, if the claim is true")
    speaking: DecidedPart
    parts: list[DecidedPart]

    @property
    def share(self) -> str:
        """How many parts hold, at least in direction: "8 of 12"."""
        return f"{self.confirmed} of {len(self.parts)}"


class VerdictFile(_Record):
    """All claims of a paper at one profile."""

    edition: Literal[2]
    claims: list[Decided]


def write_verdicts(verdicts: Iterable[ClaimVerdict]) -> str:
    """The text of verdicts.json."""
    found = VerdictFile(edition=EDITION, claims=[_decided(one) for one in verdicts])
    return json.dumps(found.model_dump(mode="json", by_alias=True), indent=1) + "\n"


def read_verdicts(path: Path) -> list[Decided]:
    """The claims of a verdicts.json.

    Raises:
        InputError: no such file, or not of this edition and schema.
    """
    try:
        return VerdictFile.model_validate_json(path.read_text(encoding="utf-8")).claims
    except OSError as error:
        expected = f"verdicts of edition {EDITION}"
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        expected = f"verdicts of edition {EDITION} (nlcore/report/{SCHEMA}); run the profile again"
        raise InputError(f"{path}: {where}: {first['msg']}; expected {expected}") from error


def read_if_current(path: Path) -> list[Decided] | None:
    """As `read_verdicts`; None without a file of this edition: the folder says nothing until it is made anew."""
    try:
        return read_verdicts(path)
    except InputError:
        return None


def schema() -> dict[str, Any]:
    """The JSON schema of the file, from the classes above."""
    return VerdictFile.model_json_schema(mode="validation", by_alias=True)


def kept_schema() -> dict[str, Any]:
    """The schema that is kept in the package: what other programs read."""
    return json.loads((files(__package__) / SCHEMA).read_text(encoding="utf-8"))


def verdicts_by_profile(verdicts: Iterable[ClaimVerdict], profile: str, folder: Path) -> pd.DataFrame:
    """One row per claim: its verdict at this profile, and at the others whose artefacts lie in the paper's folder.

    A cell says the verdict, on what it stands, how many parts hold, and the part that decides it. Folders of other
    seeds or variants, whose names have a dot, are left out, and those whose file is of another edition.
    """
    found = {profile: [_decided(one) for one in verdicts]}
    for path in sorted(folder.glob(f"*/{NAME}")):
        name, kept = path.parent.name, read_if_current(path)
        if "." not in name and name != profile and kept is not None:
            found[name] = kept
    said = {name: {one.id: _in_short(one) for one in all_of} for name, all_of in found.items()}
    return pd.DataFrame(
        {"claim": own.id, "says": own.claim, **{name: said[name].get(own.id, "") for name in said}}
        for own in found[profile]
    )


def _in_short(one: Decided) -> str:
    """ "holds (stand-in), 3 of 3 parts: 1.5 [1.2, 1.8]"."""
    shown = f": {one.speaking.shown}" if one.speaking.shown else ""
    return f"{one.verdict} ({one.evidence}), {one.share} parts{shown}"


def _decided(one: ClaimVerdict) -> Decided:
    parts = [_part(part) for part in one.parts]
    return Decided(
        id=one.claim.id,
        claim=one.claim.claim,
        verdict=one.verdict,
        evidence=one.evidence,
        confirmed=one.confirmed,
        power=one.power,
        speaking=parts[one.parts.index(one.speaking)],
        parts=parts,
    )


def _part(part: Part) -> DecidedPart:
    found = part.estimate
    numbers = {name: _finite(getattr(found, name, None)) for name in ("mean", "low", "high", "detectable")}
    return DecidedPart(
        name=part.name,
        verdict=part.verdict,
        reason=part.reason,
        **{"from": _finite(part.region.low)},
        to=_finite(part.region.high),
        published=part.published,
        **numbers,
        power=part.power,
        pairs=found.pairs if found else 0,
        differences=[[float(f"{value:.{DIGITS}g}") for value in units] for units in part.differences],
        of_images=None if part.of_images is None else float(f"{part.of_images:.{DIGITS}g}"),
        images=None if part.of_images is None or not found else found.share_of_images,
        shown=str(found or ""),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or abs(value) == float("inf") else value
