"""The audit: which training rows does a fine-tuned model give back, and is that more than chance?"""
