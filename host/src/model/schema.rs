//! The shape of a kind: the one place from which strict decoding, field ownership, strategic merge and OpenAPI
//! are derived.

/// The type of a value.
#[derive(Debug)]
pub enum Schema {
    /// A record with known fields.
    Record(Record),
    /// A map from strings to values of one type.
    Map(&'static Self),
    /// A list.
    List {
        /// The type of the items.
        items: &'static Self,
        /// How writers share the list.
        sharing: ListSharing,
    },
    /// Text.
    String,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// True or false.
    Boolean,
    /// Base64 text.
    Bytes,
    /// RFC 3339 time with seconds.
    Time,
    /// Any JSON object (`fieldsV1`).
    Opaque,
}

/// A record type.
#[derive(Debug)]
pub struct Record {
    /// Name of the OpenAPI definition, for example `io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec`.
    pub definition: &'static str,
    /// What the record is for.
    pub description: &'static str,
    /// The fields in the order of upstream's type.
    pub fields: &'static [Field],
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// What the field means.
    pub description: &'static str,
    /// Whether OpenAPI calls it required.
    pub required: bool,
    /// Its type.
    pub schema: &'static Schema,
}

/// How several writers share a list (`x-kubernetes-list-type`, and the strategic merge key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListSharing {
    /// Replaced as a whole.
    Atomic,
    /// A set of scalars; strategic merge unites.
    Set,
    /// Items are told apart by these keys; strategic merge goes by the first.
    Map(&'static [&'static str]),
}
