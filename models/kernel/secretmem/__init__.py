"""Secretmem policies: where secret pages come from and how they leave the direct map."""
