"""What the kernel does: page allocator, direct map, secretmem policies, limits, flushes, address spaces."""
