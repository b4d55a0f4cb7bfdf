"""Canaries: rows with a secret that are planted on purpose, so that memorization can be measured against chance."""
