"""The model of the direct map: machine, kernel, translation cost, workloads, and real kernels to compare with."""
