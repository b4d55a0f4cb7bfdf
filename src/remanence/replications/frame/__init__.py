"""The frame of experiments: figures, rules, seeds, parallel arms, stored results."""
