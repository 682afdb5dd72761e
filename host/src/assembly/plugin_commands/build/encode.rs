//! From a core module to a component.

use wit_component::ComponentEncoder;

/// Turns a core module that was built with wit-bindgen into a component.
///
/// # Errors
/// What is wrong with the module.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused_with_a_cure() {
        assert!(componentize(b"hello").is_err());
        assert!(componentize(b"\0asm\x01\0\0").is_err());
    }
}
