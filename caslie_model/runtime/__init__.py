"""The machine that a run uses: device, processes, memory, FSDP, caches and progress."""
