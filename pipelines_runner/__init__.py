"""Run Azure Pipelines YAML on this machine: expand templates, evaluate conditions, execute steps, strictly."""
