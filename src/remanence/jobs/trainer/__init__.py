"""Inside a Trainer: looks at what the model keeps of its rows, while it learns."""
