"""What a build wrote: stored, opened again, run, drawn and timed."""
