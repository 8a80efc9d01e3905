"""The machine: device, processes, memory, FSDP, caches, progress."""
