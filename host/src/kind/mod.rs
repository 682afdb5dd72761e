//! The kinds that Umbel serves itself, one file each.
