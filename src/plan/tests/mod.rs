//! Plans for small bundles.
