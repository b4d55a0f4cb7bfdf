"""Distributed execution: executors that run tasks in workers on other machines."""
