"""Pictures of the model's results: the map of memory, what its costs and splits look like over time, report parts."""
