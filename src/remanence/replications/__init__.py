"""Claims of papers, each checked by one small experiment with a verdict measured here."""
