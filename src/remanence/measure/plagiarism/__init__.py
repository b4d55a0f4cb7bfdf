"""Whose text is it? Passages of what a model said that stand in its training rows: verbatim, paraphrase, idea."""
