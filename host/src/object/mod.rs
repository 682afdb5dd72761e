//! Pure machinery on API objects: decoding, defaulting, patching, field ownership, selectors, tables.
