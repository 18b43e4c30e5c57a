"""What was published, what is claimed, and how our results are set beside it."""
