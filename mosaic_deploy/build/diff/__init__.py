"""Where two runtimes part: the first tensor of a network that differs by more than its grids explain."""
