"""Workloads: SimPy processes that act for tasks, and the only place where simulated time passes."""
