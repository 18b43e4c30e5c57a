"""Paper 5's labels on simulated images."""

import numpy as np

from nlcore.data.source import Source
from nlcore.papers.teacher_student.protocol import Protocol
from nlcore.papers.teacher_student.runs import Labels


def test_its_noisy_labels_are_the_simulated_ones():
    source = Source(data="simulated", label_sets="embedded", model="mlp", noisy_right=0.8, noisy_missing=0.3)
    found, images = Labels(source=source, protocol=Protocol()).compute([]), source.load()
    rows, clean, noisy = (found.arrays[name] for name in ("rows", "clean", "noisy"))
    np.testing.assert_array_equal(noisy, images.noisy()[rows])
    assert noisy.any(axis=1).all() and len(found.values["class_names"]) == 56
    both = (clean == 1) & (noisy == 1)
    assert abs(both.sum() / noisy.sum() - 0.8) < 0.05
