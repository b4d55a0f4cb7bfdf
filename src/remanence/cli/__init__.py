"""The command line, one verb per wing."""
