//! Zarr v2 and v3 metadata in one form.
