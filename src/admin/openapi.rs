//! The API's description, OpenAPI 3.1, made from the very table that the router reads.

use super::{
    auth::Access,
    route::{Answer, Parameter, Route, is_any_key, is_stream},
};
use crate::{model::StreamKey, serve::Problem};
use http::Method;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Describes every route of the table.
pub(super) fn describe(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| {
        s.definitions_path = "/components/schemas".into();
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &mut schemas);
        let path = paths.entry(route.pattern).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "skyvis",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": "Times are RFC 3339, in UTC with milliseconds on output, any offset on input. The slashes of a \
                stream key stand literally in paths. Errors are application/problem+json, RFC 9457.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "skyvis-session-<port>",
                    "description": "Begun by POST /api/v1/session; counts for pages of the console alone",
                },
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let arguments =
        route.pattern.split(['{', '}']).skip(1).step_by(2).map(|name| argument(route.pattern, name, schemas));
    let mut parameters: Vec<Value> = arguments.collect();
    parameters.extend(route.query.unwrap_or(&[]).iter().map(|p| query(p, schemas)));
    let (media_type, schema) = match &route.answer {
        Answer::Json(schema) => ("application/json", schema(schemas).to_value()),
        Answer::Media(media_type) => (*media_type, json!({ "type": "string" })),
    };
    let problem = schemas.subschema_for::<Problem>();
    // Without a token set none is asked for, so an empty requirement stands beside it.
    let security = match route.access {
        Access::Viewer | Access::Operator => json!([{ "token": [] }, { "session": [] }, {}]),
        Access::Probe | Access::Shell => json!([]),
    };
    json!({
        "operationId": operation_id(&route.method, route.pattern),
        "summary": route.summary,
        "parameters": parameters,
        "security": security,
        "responses": {
            "200": { "description": "Done", "content": { media_type: { "schema": schema } } },
            "default": {
                "description": "Not done; the problem says why",
                "content": { "application/problem+json": { "schema": problem } },
            },
        },
    })
}

fn argument(pattern: &str, name: &str, schemas: &mut SchemaGenerator) -> Value {
    let (schema, description) = if is_any_key(pattern, name) {
        (json!({ "type": "string" }), "A key of any text, slashes literal")
    } else if is_stream(name) {
        (schemas.subschema_for::<StreamKey>().to_value(), "<device>/<channel>/<main|sub>, slashes literal")
    } else {
        (json!({ "type": "string" }), if name == "rest" { "The rest of the path, slashes literal" } else { "Its id" })
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn query(parameter: &Parameter, schemas: &mut SchemaGenerator) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.summary,
        "schema": (parameter.schema)(schemas).to_value(),
    })
}

/// `get_api_v1_streams_key`: unique, since method and pattern are.
fn operation_id(method: &Method, pattern: &str) -> String {
    let words = pattern.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let mut id = method.as_str().to_ascii_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}
