"""Whole jobs, from data to verdict: audit, score, compare."""
