"""The digits that measured numbers carry: four. Everything shown follows from numbers rounded so, once, when read.

Another machine adds in another order, and its results differ in the sixth digit. Tables, intervals, verdicts and
pictures are functions of the rounded numbers: they come out the same, byte for byte, wherever no fourth digit changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

DIGITS = 4


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """A study, frame, array or number with its floating-point numbers rounded to so many significant digits.

    Frames and arrays inside mappings and data classes are rounded too; everything else is left as it is. Before the
    point no digit is lost.

    >>> rounded(np.array([43.45678, 0.00123456, 23497.2])).tolist()
    [43.46, 0.001235, 23497.0]
    """
    if isinstance(value, pd.DataFrame):
        floats = value.select_dtypes("floating").columns
        return value.assign(**{name: rounded(value[name].to_numpy(), digits) for name in floats})
    if isinstance(value, np.ndarray):
        return _significant(value, digits) if value.dtype.kind == "f" else value
    if isinstance(value, float):
        return rounded(np.array(value), digits).item()
    if isinstance(value, Mapping):
        return {name: rounded(inner, digits) for name, inner in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: rounded(getattr(value, field.name), digits) for field in fields(value)}
        return replace(value, **{name: new for name, new in changed.items() if new is not getattr(value, name)})
    return value


def _significant(values: np.ndarray, digits: int) -> np.ndarray:
    """Through text, as a reader rounds: 0.15 is 0.15, whatever its last binary digit."""
    large = 10**digits
    texts = (f"{value:.0f}" if abs(value) >= large else f"{value:.{digits}g}" for value in values.ravel().tolist())
    return np.fromiter(map(float, texts), values.dtype, values.size).reshape(values.shape)
