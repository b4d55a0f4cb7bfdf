"""Whose words are these texts made of? The detector on texts alone, without a model."""
