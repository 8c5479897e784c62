// The API reference, drawn from the server's own document by Swagger UI.
"use strict";

SwaggerUIBundle({
  url: new URL(document.getElementById("reference").dataset.document, document.baseURI).href,
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null, // it would ask another server
});
