"""What the benchmark commands share: cases, processes, measuring, reports."""
