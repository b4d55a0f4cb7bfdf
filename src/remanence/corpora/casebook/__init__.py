"""The casebook: fictional records of a clinic and a support desk, private-looking rows whose unique facts are known."""
