"""Models as targets: Hugging Face adapters, the token-table engine, and Parrot."""
