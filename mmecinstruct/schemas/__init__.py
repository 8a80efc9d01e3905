"""Schemas of what flows: tables, samples, rejections."""
