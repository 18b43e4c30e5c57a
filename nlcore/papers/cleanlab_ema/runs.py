"""The paper's experiments as runs, in three modules, so that an edit of one leaves the results of the others.

The benchmark (section 5.1): classifiers predict (`predictions`), and every pooling scores what they predicted
(`scoring`). Real images (section 5.2): a network predicts tags of images that it was not trained on (`tagging`).
"""

from nlcore.papers.cleanlab_ema.predictions import FoldPredictions, TestPartPredictions
from nlcore.papers.cleanlab_ema.scoring import DatasetStatistics, FlaggedErrors, PoolingScores, TestPartAccuracy
from nlcore.papers.cleanlab_ema.tagging import HeldOutTags

__all__ = [
    "DatasetStatistics",
    "FlaggedErrors",
    "FoldPredictions",
    "HeldOutTags",
    "PoolingScores",
    "TestPartAccuracy",
    "TestPartPredictions",
]
