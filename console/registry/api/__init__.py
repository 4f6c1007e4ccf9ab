"""REST of models, versions, aliases and uploads."""
