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
    /// RFC 3339 time with microseconds.
    MicroTime,
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
    /// Whether writers own it as a whole (`x-kubernetes-map-type: atomic`) instead of field by field.
    pub atomic: bool,
    /// The fields in the order of upstream's type.
    pub fields: &'static [Field],
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// What the field means.
    pub description: &'static str,
    /// Whether OpenAPI calls it required.
    pub required: bool,
    /// What becomes of its zero value.
    pub zero: ZeroValue,
    /// Its type.
    pub schema: &'static Schema,
}

/// What becomes of a field whose value is the zero of its type (`""`, `0`, `false`, `{}`, `[]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroValue {
    /// Left out, as if it had not been given.
    Omitted,
    /// Kept when given, absent when not: zero and absent differ.
    Kept,
    /// Written even when it was not given.
    Written,
}

impl Field {
    /// An optional field whose zero value is left out.
    pub const fn new(name: &'static str, description: &'static str, schema: &'static Schema) -> Self {
        Self { name, description, required: false, zero: ZeroValue::Omitted, schema }
    }

    /// The same field, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same field, with its zero value treated so.
    #[must_use]
    pub const fn zero(self, zero: ZeroValue) -> Self {
        Self { zero, ..self }
    }
}

impl Record {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Schema {
    /// The record, where the type is one.
    pub fn as_record(&'static self) -> Option<&'static Record> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }
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
