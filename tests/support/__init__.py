"""Parts of the test suite that stand in for the outside world."""
