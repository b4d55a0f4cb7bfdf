"""What the claims about tasks share: one experiment, and how its contrasts are read."""
