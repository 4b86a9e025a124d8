//! `services`: what is registered, and how it is.

use super::{
    Out, args,
    daemon::Daemon,
    error::Error,
    show::{age, plain},
    table::{
        Side::{Left, Right},
        Table,
    },
};
use crate::{
    base::{Clock, Wall},
    serve::encode_component,
};
use serde_json::{Value, json};

/// `skyvis services`
pub(super) async fn services(daemon: &Daemon, args: &args::Admin, out: &mut Out) -> Result<(), Error> {
    let mut all = Vec::new();
    for service in daemon.list("/api/v1/services", "items").await? {
        // One that went meanwhile is not there any more, which is no failure.
        let path = format!("/api/v1/services/{}", encode_component(&plain(&service["name"])));
        if let Ok(service) = daemon.get(&path).await {
            all.push(service);
        }
    }
    if args.json {
        out.json(&json!({ "services": all }));
        return Ok(());
    }
    if all.is_empty() {
        out.line("no service is registered; add a [[registry.service]] to the config, or");
        out.line(
            "  curl -X PUT ADMIN/api/v1/services/NAME/instances/ID -d '{\"address\": \"10.0.0.5\", \"port\": 9000}'",
        );
        return Ok(());
    }
    let columns = out.columns();
    out.text(table(&all, Clock::real().wall()).render(columns));
    Ok(())
}

fn table(services: &[Value], now: Wall) -> Table {
    let heads = [
        ("SERVICE", Left),
        ("INSTANCE", Left),
        ("ADDRESS", Left),
        ("WEIGHT", Right),
        ("TAGS", Left),
        ("HEALTH", Left),
        ("SINCE", Right),
        ("BY", Left),
        ("REASON", Left),
    ];
    let mut table = Table::new(heads);
    for instance in services.iter().flat_map(|s| s["instances"].as_array().into_iter().flatten()) {
        let address = plain(&instance["address"]);
        let address = if address.contains(':') { format!("[{address}]") } else { address };
        let tags: Vec<String> = instance["tags"].as_array().into_iter().flatten().map(plain).collect();
        table.row([
            plain(&instance["service"]),
            plain(&instance["id"]),
            format!("{address}:{}", plain(&instance["port"])),
            plain(&instance["weight"]),
            tags.join(","),
            plain(&instance["health"]),
            age(&instance["since"], now),
            plain(&instance["source"]),
            plain(&instance["reason"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_line() {
        let instance = json!({
            "service": "web-api", "id": "a", "address": "::1", "port": 9000, "weight": 1, "tags": ["x", "y"],
            "health": "critical", "since": "2026-11-21T08:00:00Z", "source": "config", "reason": "refused",
        });
        let now = "2026-11-21T08:05:00Z".parse().unwrap();
        let shown = table(&[json!({ "name": "web-api", "instances": [instance] })], now).render(None);
        let line = shown.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.starts_with("web-api a [::1]:9000 1 x,y critical 5"), "{line}");
        assert!(line.ends_with("config refused"), "{line}");
    }
}
