"""Compaction of a zone as 6.1 does it: two scanners with skip hints, searches through the free lists, moved pages."""
