"""What claims about memorization against utility share."""
