"""Numbers with their uncertainty: rates, intervals, membership quality, and what to hold them against."""
