"""A class map as polygons: a valid coverage, streamed as GeoJSON."""
