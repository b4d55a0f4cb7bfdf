"""Fine-tuning on the Hugging Face Trainer, and the tiny models of the testbed."""
