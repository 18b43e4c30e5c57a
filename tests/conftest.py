"""Of all tests: properties are tested without a clock, which on a busy machine would fail for no reason of theirs."""

from hypothesis import settings

settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")
