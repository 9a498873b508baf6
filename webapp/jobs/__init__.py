"""Long runs: imports, segmentations, learning; the engine that carries them."""
