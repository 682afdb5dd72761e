//! Times and sizes as manifests write them.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    given_duration(input).map(Some)
}

pub(super) fn given_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    let parsed = match split_number(&text) {
        Some((number, "ms")) => Some(Duration::from_millis(number)),
        Some((number, "s")) => Some(Duration::from_secs(number)),
        _ => None,
    };
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration such as 500ms or 2s")))
}

pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(input)?;
    let parsed = match split_number(&text) {
        Some((number, "KiB")) => number.checked_mul(1 << 10),
        Some((number, "MiB")) => number.checked_mul(1 << 20),
        _ => None,
    };
    let parsed = parsed.and_then(|bytes| usize::try_from(bytes).ok());
    parsed
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no size such as 512KiB or 32MiB")))
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}
