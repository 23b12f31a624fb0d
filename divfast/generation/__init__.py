"""From prompts and a model to a dump: K samples of every prompt, resumable."""
