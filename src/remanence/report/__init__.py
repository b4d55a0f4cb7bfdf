"""The report: one HTML file, verdict first."""
