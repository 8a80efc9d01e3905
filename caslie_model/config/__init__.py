"""Configs of the commands and the presets they are read from."""
