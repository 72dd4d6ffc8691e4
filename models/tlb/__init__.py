"""What translation costs: TLBs, page walks, popularity; the exact and the analytic model."""
