"""A small invented town whose clinic and support desk never existed: private-looking rows with a known answer key."""
