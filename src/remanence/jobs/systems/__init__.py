"""Run any system of the catalogue by its name, on the user's own model and rows."""
