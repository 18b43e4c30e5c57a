"""Runs: typed specs, a content-addressed store, and one way to compute a grid."""

from nlcore.runs.grid import Plan, RunFailedError, plan_grid, run_grid
from nlcore.runs.spec import Result, Spec
from nlcore.runs.store import Store

__all__ = ["Plan", "Result", "RunFailedError", "Spec", "Store", "plan_grid", "run_grid"]
