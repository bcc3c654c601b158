"""Is the sampler right on this model."""
