"""The audit of more rows than memory holds."""
