"""The study: tasks, models and seeds, fine-tuned and audited arm by arm, so that tasks can be compared."""
