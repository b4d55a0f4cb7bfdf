"""Why did the model keep it? What goes on inside, read from the opened model."""
