"""Every publisher's raw files at any scale, with their dirt: what a recipe of real sources is tried on.

One module per publisher; each writes below a folder in the layout of docs/sources.md and returns what it wrote.
"""
