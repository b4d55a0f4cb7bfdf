"""Nouns and verbs that everything else is written in: records, targets, findings, runs."""
