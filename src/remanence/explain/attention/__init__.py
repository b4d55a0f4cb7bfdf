"""How widely a model looks over a row while it says it: flat or pointed, layer by layer and head by head."""
