"""What is told while the work goes on: counts by paper, and a time left that follows the cost, not the count."""

import time

from nlcore.runs.progress import Bars, Clock, Log, Part

PARTS = {"multi_al": Part(3, 30.0), "galc_slr": Part(1, 10.0)}


def test_the_time_left_follows_the_cost_of_what_is_done(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock({"multi_al": Part(9, 30.0), "galc_slr": Part(1, 10.0)})
    for _ in range(5):
        assert clock.left == "", "the first runs wait for libraries, and say nothing of the others"
        now[0] += 1
        clock.advance("multi_al", 2.0)
    assert clock.left == "about 15 s left"  # a quarter of the cost in five seconds
    assert (clock.count("multi_al"), clock.count("galc_slr")) == ("5/9", "0/1")


def test_a_log_has_a_line_now_and_then_and_one_at_the_end(capsys):
    with Log(PARTS) as log:
        for label in ("multi_al", "multi_al", "multi_al", "galc_slr"):
            log.advance(label, 10.0)
    assert capsys.readouterr().err.splitlines() == ["4/4 done (multi_al 3/3, galc_slr 1/1)"]


def test_bars_show_every_part_and_all_together():
    with Bars(PARTS | {"cleanlab_ema": Part(0, 0.0)}) as bars:
        bars.advance("multi_al", 10.0)
        bars.note("galc_slr", "notebooks/04_galc_slr.ipynb")
        shown = {task.description.strip(): task for task in bars.progress.tasks}
    assert list(shown) == ["all", "multi_al", "galc_slr", "cleanlab_ema"]
    assert (shown["all"].fields["count"], shown["all"].completed) == ("1/4", 10.0)
    assert shown["galc_slr"].fields["state"] == "notebooks/04_galc_slr.ipynb"
    assert shown["cleanlab_ema"].completed == shown["cleanlab_ema"].total
