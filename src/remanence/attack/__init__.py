"""Attacks: ways to make a model say what it kept."""
