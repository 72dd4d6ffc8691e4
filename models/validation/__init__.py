"""The cost models against published measurements: which constants are fitted, what is predicted, how far off it is."""
