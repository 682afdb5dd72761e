//! The interfaces as TypeScript declarations, so that editors complete and check plugins in JavaScript.

use super::template::wit_files;
use std::fmt::Write;
use wit_parser::{
    Docs, Function, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, WorldId, WorldItem,
};

const HEAD: &str = "// The interfaces of wit/ as this gateway's `umbel plugin new` writes them for editors; the build does not read this.

declare const console: Record<\"log\" | \"info\" | \"debug\" | \"warn\" | \"error\", (...values: unknown[]) => void>;
";

/// The declarations of everything that a world imports and exports.
///
/// # Errors
/// The error in the interfaces of this program, which its tests rule out.
pub(super) fn declarations(world: &str) -> Result<String, String> {
    let (resolve, world) = read(world)?;
    let world = &resolve.worlds[world];
    let mut text = HEAD.to_owned();
    for (items, exported) in [(&world.imports, false), (&world.exports, true)] {
        for item in items.values() {
            if let WorldItem::Interface { id, .. } = item {
                module(&resolve, *id, exported, &mut text);
            }
        }
    }
    Ok(text)
}

fn read(world: &str) -> Result<(Resolve, WorldId), String> {
    let explain = |error| format!("{error:#}");
    let mut resolve = Resolve::default();
    // The worlds need the packages in deps.
    let (deps, worlds): (Vec<_>, Vec<_>) = wit_files().partition(|(path, _)| path.starts_with("deps/"));
    let mut package = None;
    for (path, bytes) in deps.into_iter().chain(worlds) {
        package = Some(resolve.push_str(path, &String::from_utf8_lossy(bytes)).map_err(explain)?);
    }
    let package = package.ok_or("there is no WIT in this program")?;
    let world = resolve.select_world(&[package], Some(world)).map_err(explain)?;
    Ok((resolve, world))
}

/// One interface as a module of its full name.
fn module(resolve: &Resolve, id: InterfaceId, exported: bool, text: &mut String) {
    let interface = &resolve.interfaces[id];
    let name = resolve.id_of(id).unwrap_or_default();
    text.push('\n');
    docs(&interface.docs, "", text);
    // Writing to a string cannot fail, here and below.
    writeln!(text, "declare module \"{name}\" {{").ok();
    for (name, id) in &interface.types {
        define(resolve, name, &resolve.types[*id], text);
    }
    let title = pascal(interface.name.as_deref().unwrap_or_default());
    writeln!(text, "  export interface {title} {{").ok();
    methods(resolve, interface, text);
    text.push_str("  }\n");
    if !exported {
        writeln!(text, "  const imported: {title};\n  export default imported;").ok();
    }
    text.push_str("}\n");
}

fn methods(resolve: &Resolve, interface: &Interface, text: &mut String) {
    for (name, function) in &interface.functions {
        let (result, fault) = outcome(resolve, function);
        let mut about = function.docs.contents.clone().unwrap_or_default().trim().to_owned();
        if let Some(fault) = fault {
            about = format!("{about}\n@throws {{{fault}}} What is thrown is the fault.").trim().to_owned();
        }
        docs(&Docs { contents: Some(about) }, "    ", text);
        let parameters = function.params.iter();
        let parameters = parameters.map(|one| format!("{}: {}", camel(&one.name), typed(resolve, one.ty)));
        let parameters: Vec<String> = parameters.collect();
        writeln!(text, "    {}({}): {result};", camel(name), parameters.join(", ")).ok();
    }
}

/// The type that a function returns, and the type that it throws.
fn outcome(resolve: &Resolve, function: &Function) -> (String, Option<String>) {
    let side = |one: Option<Type>| one.map_or_else(|| "void".to_owned(), |one| typed(resolve, one));
    match function.result {
        Some(Type::Id(id)) => match &resolve.types[id].kind {
            TypeDefKind::Result(result) => (side(result.ok), Some(side(result.err))),
            _ => (side(function.result), None),
        },
        result => (side(result), None),
    }
}

fn define(resolve: &Resolve, name: &str, of: &TypeDef, text: &mut String) {
    docs(&of.docs, "  ", text);
    let name = pascal(name);
    match &of.kind {
        TypeDefKind::Record(record) => {
            writeln!(text, "  export interface {name} {{").ok();
            for field in &record.fields {
                docs(&field.docs, "    ", text);
                writeln!(text, "    {}: {};", camel(&field.name), typed(resolve, field.ty)).ok();
            }
            text.push_str("  }\n");
        }
        TypeDefKind::Variant(variant) => {
            writeln!(text, "  export type {name} =").ok();
            for case in &variant.cases {
                docs(&case.docs, "    ", text);
                let value = case.ty.map(|one| format!("; val: {}", typed(resolve, one))).unwrap_or_default();
                writeln!(text, "    | {{ tag: \"{}\"{value} }}", case.name).ok();
            }
            text.push_str("  ;\n");
        }
        TypeDefKind::Enum(cases) => {
            let cases: Vec<String> = cases.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
            writeln!(text, "  export type {name} = {};", cases.join(" | ")).ok();
        }
        kind => {
            writeln!(text, "  export type {name} = {};", structure(resolve, kind)).ok();
        }
    }
}

/// A type where it is used: by name where it has one.
fn typed(resolve: &Resolve, of: Type) -> String {
    match of {
        Type::Bool => "boolean".to_owned(),
        Type::String | Type::Char => "string".to_owned(),
        Type::Id(id) => match &resolve.types[id] {
            TypeDef { name: Some(name), .. } => pascal(name),
            unnamed => structure(resolve, &unnamed.kind),
        },
        Type::ErrorContext => "unknown".to_owned(),
        _ => "number".to_owned(),
    }
}

fn structure(resolve: &Resolve, kind: &TypeDefKind) -> String {
    match kind {
        TypeDefKind::Type(behind) => typed(resolve, *behind),
        TypeDefKind::Option(inner) => format!("{} | null", typed(resolve, *inner)),
        TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
        TypeDefKind::List(inner) => format!("Array<{}>", typed(resolve, *inner)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<String> = tuple.types.iter().map(|one| typed(resolve, *one)).collect();
            format!("[{}]", parts.join(", "))
        }
        // Types that the interfaces do not use.
        _ => "unknown".to_owned(),
    }
}

fn docs(docs: &Docs, indent: &str, text: &mut String) {
    let contents = docs.contents.as_deref().unwrap_or_default().replace("*/", "* /");
    let mut lines = contents.lines();
    let Some(first) = lines.next() else { return };
    write!(text, "{indent}/** {first}").ok();
    for line in lines {
        write!(text, "\n{indent} *  {line}").ok();
    }
    text.push_str(" */\n");
}

fn pascal(kebab: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    kebab.split('-').map(capital).collect()
}

fn camel(kebab: &str) -> String {
    let name = pascal(kebab);
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_of_a_world_is_declared() {
        let text = declarations("resolver").unwrap();
        for part in [
            "declare module \"umbel:host/dns@0.1.1\" {",
            "addresses(name: string, family: Family): Array<Address>;",
            "export type Family = \"any\" | \"v4\" | \"v6\";",
            "| { tag: \"denied\"; val: string }",
            "| { tag: \"no-such-name\" }",
            "const imported: Dns;",
            "declare module \"umbel:resolver/resolver@0.1.0\" {",
            "resolve(context: Context, target: Target): Resolution;",
            "serverName: string | null;",
            "@throws {Fault} What is thrown is the fault.",
            "annotations: Array<[string, string]>;",
            "validate(settings: string): void;",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        for world in ["health", "discovery"] {
            assert!(declarations(world).unwrap().contains("umbel:lifecycle/lifecycle@0.1.0"), "{world}");
        }
    }
}
