"""The parts of tests/lab/lab. Python's standard library only."""
