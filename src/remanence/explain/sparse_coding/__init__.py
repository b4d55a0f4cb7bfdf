"""The sparse-coding argument: a linear statement as code, and what is needed to test it on a model."""
