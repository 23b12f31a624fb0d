"""What a language model says of samples that nothing can verify: a score for each, or which of two is better."""
