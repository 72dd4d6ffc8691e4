"""What the hardware is: memory ranges, CPUs and nodes, TLBs, costs; presets lie beside the code."""
