"""What a check of an environment found: one thing, what was expected of it, and a word for how the two agree."""

from __future__ import annotations

from dataclasses import dataclass

FINE = "fine"
OTHER = "other than tested"
OLD = "too old"
MISSING = "missing"
INCOMPLETE = "incomplete"
NOT_WRITABLE = "not writable"
TOO_LITTLE = "too little space"
NOT_GIVEN = "not given"
NOT_LOOKED_AT = "not looked at"
SLOW = "slow without"
TO_FETCH = "to be fetched"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `blocks`: without it what was asked for cannot be expected to work."""

    what: str
    found: str
    expected: str
    word: str
    get: str = ""  # how to get it, where something is to be got
    blocks: bool = False
