"""Is this sample right? One file for each verifier, found through the table in `divfast.quality.verifiers`."""
