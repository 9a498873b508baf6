"""Rasters: the only place that opens them.

GDAL reads its options when it starts, and options set later through ``rasterio.Env`` are lost in thread pools; so they
are set here, before anything imports rasterio. What the user has set in the environment stands.
"""

import os

_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no sidecar files: only what is in the file itself counts
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": "64",  # megabytes (below 100,000 GDAL takes the number so): decoded blocks are kept by `cache`
    "VSI_CACHE": "FALSE",
    "GDAL_HTTP_MAX_RETRY": "0",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",  # no network file systems
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    # A JPEG that ends early is otherwise filled with gray, with a warning that nobody sees.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "PROJ_NETWORK": "OFF",
    "CPL_DEBUG": "OFF",
}
for _name, _value in _GDAL_OPTIONS.items():
    os.environ.setdefault(_name, _value)
