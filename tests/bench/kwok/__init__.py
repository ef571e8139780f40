"""A control plane of real components whose nodes and pods kwok plays, for benches that need many of both."""
