"""The parts of the decoder: trees, kernel, graph of leaves, calibration. `segmentation.decoder` puts them together."""
