"""Before a training: what the trainer really feeds the model."""
