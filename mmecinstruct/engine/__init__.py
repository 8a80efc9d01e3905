"""The engine: stages, the workspace that keeps finished ones, executors."""
