"""What both packages stand on: errors, settings, hashing, files, Parquet, DuckDB, templates, the console."""
