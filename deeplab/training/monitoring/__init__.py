"""What a run shows of itself: progress, numbers, pictures, warnings, traces."""
