"""What clients, API and workers agree on: the words of the product, and one table of request fields.

`fields` holds the table, `methods` a row for each sampling method, and `words` the types that the fields and the
documents of the API use. Everything else is derived from them: `resolve` (defaults and limits), `schema` (JSON Schema),
`form` (a model's fields as data) and `reference` (docs/request.md), the options of the command and the types of the
client.

A new scalar field is one annotation in `fields.Generation`, one line in `fields.Request`, and its use in
`tasks/trajectories.py`. Only a default that differs by model needs more: a line in `fields.Defaults`, and a value in
models/catalog.toml.
"""
