"""The base of both packages: errors, settings, hashing, files, Parquet, DuckDB, templates, the console."""
