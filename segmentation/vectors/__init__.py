"""A class map as polygons: a valid coverage, streamed as GeoJSON.

`sweep` traces, `rings` takes out what is complete, `positions` puts it on the ground, `antimeridian` cuts it, `text` and
`geojson` write it.
"""

from segmentation.vectors.geojson import ClassStyle, geojson_chunks
from segmentation.vectors.source import ArraySource, ClassSource, class_source

__all__ = ["ArraySource", "ClassSource", "ClassStyle", "class_source", "geojson_chunks"]
