"""Measures: how memorized is a row?"""
