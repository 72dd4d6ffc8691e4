"""Real kernels: recordings of them, this machine, and how the model compares."""
