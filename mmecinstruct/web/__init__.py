"""HTTP for untrusted addresses: what may be asked, how it is asked, and what an answer means."""
