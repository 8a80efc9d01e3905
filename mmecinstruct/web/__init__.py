"""HTTP requests to untrusted URLs: checks of addresses, pinned connections, meaning of responses."""
