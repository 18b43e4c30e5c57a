"""Runs: typed specs, a content-addressed store, and one way to compute grids, on this machine or on a cluster."""

from nlcore.errors import RunFailedError
from nlcore.runs.engine import check_engine, make_engine
from nlcore.runs.grid import Plan, forget, plan_grid, run_grid, run_grids, with_requirements
from nlcore.runs.once import asking_once, once
from nlcore.runs.scratch import checkpoint_file, scratch_folder
from nlcore.runs.spec import Result, Spec, Work, seeds_of
from nlcore.runs.store import Store

__all__ = [
    "Plan", "Result", "RunFailedError", "Spec", "Store", "Work", "asking_once", "check_engine",
    "checkpoint_file", "forget", "make_engine", "once", "plan_grid", "run_grid",
    "run_grids", "scratch_folder", "seeds_of", "with_requirements",
]  # fmt: skip
