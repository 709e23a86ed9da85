"""What the roads of tests/roads/run walk on: a node, and what a node downloads from."""
