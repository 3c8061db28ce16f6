/* Starts the viewer over the joined contracts. Nothing is kept: a token is forgotten with the page. */
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
paint();
dark.addEventListener("change", paint);

/** The command that repeats a request shows no token: screens are shared, and commands are seen by others. */
const withoutToken = (system) => ({
  wrapComponents: {
    curl: (Curl) => (given) => {
      const shown = given.request.updateIn(["headers", "Authorization"], (value) => value && "Bearer <token>");
      return system.React.createElement(Curl, { ...given, request: shown });
    },
  },
});

window.addEventListener("load", () => {
  window.docs = SwaggerUIBundle({
    url: "/docs/openapi.json",
    dom_id: "#docs",
    plugins: [withoutToken],
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
