//! The types of a world's exports, as data for the code that checks values in JavaScript.

use serde_json::{Map, Value, json};
use std::path::Path;
use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId, WorldItem};

/// The exports of a world, and the log interface that it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorldTypes {
    /// The full name of the log interface, such as `umbel:host/log@0.1.1`.
    pub(super) log: String,
    /// By the name of the interface: its functions, each with the types of its result and its fault.
    pub(super) exports: Map<String, Value>,
}

impl WorldTypes {
    /// Reads a world from a folder of WIT.
    ///
    /// # Errors
    /// The error in the folder, or that the world has no log.
    pub(super) fn read(wit: &Path, world: &str) -> Result<Self, String> {
        let explain = |error| format!("{error:#}");
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit).map_err(explain)?;
        let world = resolve.select_world(&[package], Some(world)).map_err(explain)?;
        let world = &resolve.worlds[world];
        let log = world.imports.values().find_map(|item| match item {
            WorldItem::Interface { id, .. } => {
                resolve.id_of(*id).filter(|name| name.starts_with("umbel:host/log@"))
            }
            _ => None,
        });
        let log = log.ok_or("the world imports no umbel:host/log, which takes what the plugin prints")?;
        let mut exports = Map::new();
        for item in world.exports.values() {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = &resolve.interfaces[*id];
            let functions = interface.functions.iter();
            let functions: Map<String, Value> =
                functions.map(|(name, function)| (name.clone(), outcome(&resolve, function))).collect();
            exports.insert(interface.name.clone().unwrap_or_default(), functions.into());
        }
        Ok(Self { log, exports })
    }
}

/// The type that a function returns, and the type that it throws if its result type is `result`.
fn outcome(resolve: &Resolve, function: &Function) -> Value {
    let Some(result) = function.result else { return json!({"result": null}) };
    match kind(resolve, result) {
        Some(TypeDefKind::Result(result)) => {
            let side = |side: Option<Type>| side.map_or(Value::Null, |one| describe(resolve, one));
            json!({"result": side(result.ok), "fault": side(result.err)})
        }
        _ => json!({"result": describe(resolve, result)}),
    }
}

/// The type after all aliases are resolved; `None` for a primitive type.
fn kind(resolve: &Resolve, mut of: Type) -> Option<&TypeDefKind> {
    loop {
        let Type::Id(id) = of else { return None };
        match &resolve.types[id].kind {
            TypeDefKind::Type(behind) => of = *behind,
            kind => return Some(kind),
        }
    }
}

fn describe(resolve: &Resolve, of: Type) -> Value {
    match of {
        Type::Id(id) => describe_defined(resolve, id),
        Type::Bool => json!("bool"),
        Type::U8 => json!("u8"),
        Type::U16 => json!("u16"),
        Type::U32 => json!("u32"),
        Type::U64 => json!("u64"),
        Type::S8 => json!("s8"),
        Type::S16 => json!("s16"),
        Type::S32 => json!("s32"),
        Type::S64 => json!("s64"),
        Type::F32 => json!("f32"),
        Type::F64 => json!("f64"),
        Type::Char => json!("char"),
        Type::String => json!("string"),
        Type::ErrorContext => Value::Null,
    }
}

fn describe_defined(resolve: &Resolve, id: TypeId) -> Value {
    match &resolve.types[id].kind {
        TypeDefKind::Type(behind) => describe(resolve, *behind),
        TypeDefKind::Option(inner) => json!({"option": describe(resolve, *inner)}),
        TypeDefKind::List(inner) => json!({"list": describe(resolve, *inner)}),
        TypeDefKind::Tuple(tuple) => {
            let parts = tuple.types.iter().map(|one| describe(resolve, *one));
            json!({"tuple": parts.collect::<Vec<_>>()})
        }
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| (field.name.clone(), describe(resolve, field.ty)));
            json!({"record": fields.collect::<Map<_, _>>()})
        }
        TypeDefKind::Variant(variant) => {
            let payload = |ty: Option<Type>| ty.map_or(Value::Null, |one| describe(resolve, one));
            let cases = variant.cases.iter().map(|case| (case.name.clone(), payload(case.ty)));
            json!({"variant": cases.collect::<Map<_, _>>()})
        }
        TypeDefKind::Enum(cases) => {
            json!({"enum": cases.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>()})
        }
        // Types that the interfaces do not use are not checked.
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_described_with_results_and_faults() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let WorldTypes { log, exports } = WorldTypes::read(&wit, "resolver").unwrap();
        assert_eq!(log, "umbel:host/log@0.1.1");
        let resolve = &exports["resolver"]["resolve"];
        let endpoint = &resolve["result"]["record"]["endpoints"]["list"]["record"];
        assert_eq!(endpoint["port"], "u16");
        assert_eq!(endpoint["server-name"], json!({"option": "string"}));
        assert_eq!(resolve["fault"]["variant"]["not-mine"], Value::Null);
        assert_eq!(resolve["fault"]["variant"]["not-found"], "string");
        assert_eq!(exports["lifecycle"]["validate"]["result"], Value::Null);
        let health = WorldTypes::read(&wit, "health").unwrap();
        let state = &health.exports["checker"]["check"]["result"]["record"]["state"];
        assert!(state["enum"].as_array().unwrap().contains(&json!("up")), "{state}");
        assert!(WorldTypes::read(&wit, "nothing").is_err());
    }
}
