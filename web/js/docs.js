// The API reference: Swagger UI on the server's own OpenAPI document.
"use strict";

SwaggerUIBundle({
  url: new URL(document.getElementById("reference").dataset.document, document.baseURI).href,
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null, // it would send the document to another server
});
