"""Reading the memory of the running kernel, as root: its types, its page tables, its free lists."""
