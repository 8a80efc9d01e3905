"""Reports that need no network and no program but a browser: tables, charts and pages of one file each."""
