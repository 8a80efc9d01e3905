"""The pipeline in order: from a recipe to a dataset folder."""
