/* Starts the viewer over the joined contracts. Nothing is kept: a token is forgotten with the page. */
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
paint();
dark.addEventListener("change", paint);

window.addEventListener("load", () => {
  window.docs = SwaggerUIBundle({
    url: "/docs/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    defaultModelRendering: "model",
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false,
    showCommonExtensions: true,
    validatorUrl: null,
  });
});
