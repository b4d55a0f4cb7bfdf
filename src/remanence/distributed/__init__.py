"""More than one machine: executors that hand the work of a run to workers elsewhere."""
