//! What the user sees while the demo runs: the APIServices, as they are now.

use super::session::{Session, condition};
use super::{DemoError, say};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(250);

/// A row: name, service, availability.
type Row = [String; 3];

/// Redraws the table in place until something fails. Leaves the cursor below it, with nothing switched on.
pub(super) async fn redraw(session: &mut Session) -> Result<(), DemoError> {
    let mut drawn: Vec<Row> = Vec::new();
    loop {
        let rows = rows(session).await?;
        if rows != drawn {
            let mut text = String::new();
            if !drawn.is_empty() {
                // Up to the table's first line, then clear to the end of the screen.
                text.push_str(&format!("\u{1b}[{}A\u{1b}[J", drawn.len() + 1));
            }
            text.push_str(&render(&rows));
            io::stdout()
                .write_all(text.as_bytes())
                .and_then(|()| io::stdout().flush())
                .map_err(DemoError::new)?;
            drawn = rows;
        }
        pause(session).await;
    }
}

/// Prints one line for each change until something fails.
pub(super) async fn report(session: &mut Session) -> Result<(), DemoError> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    loop {
        for [name, service, available] in rows(session).await? {
            if known.insert(name.clone(), available.clone()).as_ref() != Some(&available) {
                say(&format!("{name} ({service}): {available}"));
            }
        }
        pause(session).await;
    }
}

/// Waits, and takes note of children that ended, so that they do not stay as zombies.
async fn pause(session: &mut Session) {
    tokio::time::sleep(INTERVAL).await;
    session.orchard.process.is_running();
    session.harbour.process.is_running();
}

async fn rows(session: &Session) -> Result<Vec<Row>, DemoError> {
    let list = session.admin.get("/apis/apiregistration.k8s.io/v1/apiservices").await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().map(row).collect())
}

fn row(api_service: &Value) -> Row {
    let text = |pointer: &str| api_service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let service = match text("/spec/service/name") {
        "" => "Local".to_owned(),
        name => format!("{}/{name}", text("/spec/service/namespace")),
    };
    let available = match condition(api_service) {
        (status, _) if status == "True" => status,
        (status, reason) => format!("{status} ({reason})"),
    };
    [text("/metadata/name").to_owned(), service, available]
}

fn render(rows: &[Row]) -> String {
    let header = ["NAME", "SERVICE", "AVAILABLE"].map(str::to_owned);
    let width = |column: usize| {
        rows.iter().chain([&header]).map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    let lines = [&header].into_iter().chain(rows);
    lines
        .map(|[name, service, available]| format!("{name:first$}   {service:second$}   {available}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_stand_under_each_other() {
        let condition = json!([{"type": "Available", "status": "False", "reason": "FailedDiscoveryCheck"}]);
        let service = json!({"namespace": "default", "name": "orchard"});
        let rows = [
            row(&json!({"metadata": {"name": "v1.a"}, "spec": {}})),
            row(&json!({"metadata": {"name": "v1.long.example.com"}, "spec": {"service": service},
                        "status": {"conditions": condition}})),
        ];
        assert_eq!(
            render(&rows),
            "NAME                  SERVICE           AVAILABLE\n\
             v1.a                  Local             Unknown (Unknown)\n\
             v1.long.example.com   default/orchard   False (FailedDiscoveryCheck)\n"
        );
    }
}
