"""What the unlearning literature measures, so that results compare with it."""
