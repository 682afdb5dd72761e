//! Ages as kubectl prints them.

use jiff::Timestamp;

use crate::model::object::Object;

/// The `Age` cell: the time since `metadata.creationTimestamp`, or `<unknown>`.
pub fn age_cell(object: &Object, now: Timestamp) -> String {
    match object.text(&["metadata", "creationTimestamp"]).parse::<Timestamp>() {
        Ok(created) => human_duration(now.as_second() - created.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Seconds in the two or three most telling units, for example `5s`, `2m3s`, `3h`, `5d`, `2y30d`.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |big: i64, unit: &str, small: i64, below: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{below}") }
    };
    match seconds {
        // A clock that is a little behind is no reason to alarm anybody.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s / MINUTE % 60, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s / HOUR % 24, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s / DAY % 365, "d"),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let day = 86_400;
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (123, "2m3s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (8 * 3600, "8h"),
            (2 * day - 1, "47h"),
            (2 * day, "2d"),
            (2 * day + 7200, "2d2h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (9 * 365 * day, "9y"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(human_duration(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn an_object_without_a_creation_time_has_an_unknown_age() {
        assert_eq!(age_cell(&Object::default(), Timestamp::UNIX_EPOCH), "<unknown>");
    }
}
