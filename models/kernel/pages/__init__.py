"""The page allocator: zones, buddy lists, per-CPU lists, fallback between migratetypes, watermarks."""
