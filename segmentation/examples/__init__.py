"""Examples (pixels with a class) from and to files of points, lines and polygons."""

from segmentation.examples.reading import Sample, SampleFile, parse_samples
from segmentation.examples.writing import WrittenExample, examples_to_geojson

__all__ = ["Sample", "SampleFile", "WrittenExample", "examples_to_geojson", "parse_samples"]
