"""Schemas of tables, samples and rejections."""
