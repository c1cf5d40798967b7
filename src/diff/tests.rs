//! What has to hold for any two bundles, and for those that are made to do harm.

mod bundles;
mod hostile;
mod properties;
mod schema;
mod story;
