"""What the jobs share: settings, opening models, the token pass, stages with resume, rates and rules."""
