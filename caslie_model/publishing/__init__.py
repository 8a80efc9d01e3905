"""Publish adapter folders and merged models on the Hub."""
