"""A local Azure ML (SDK v1) control plane for the real clients."""
