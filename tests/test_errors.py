"""Bad input is told in one line and one form, and a share of the suite is a fraction."""

import numpy as np
import pytest

from nlcore.errors import InputError, require, require_fraction


@pytest.mark.parametrize("value", [0, 1, 0.4, np.float32(0.4), np.int64(1)])
def test_fractions(value):
    require_fraction("noise", value)


@pytest.mark.parametrize("value", [40, 1.0001, -0.1, float("nan"), float("inf"), "0.4", None, [0.4], np.array([0.4])])
def test_what_is_no_fraction(value):
    with pytest.raises(InputError, match=r"^noise: found .+; expected a fraction between 0 and 1$"):
        require_fraction("noise", value)


def test_the_message_is_one_line_whatever_was_found():
    require(True, "weights", None, "some")
    with pytest.raises(InputError) as caught:
        require(False, "weights", np.eye(2), "one number")
    assert str(caught.value) == "weights: found array([[1., 0.], [0., 1.]]); expected one number"
