"""What runs stages: the stage, the workspace that keeps finished ones, executors."""
