// Draws the OpenAPI document with Swagger UI, from our own files, under the strict policy.
const place = document.getElementById("swagger-ui");
const dark = matchMedia("(prefers-color-scheme: dark)");

function followTheme() {
  const chosen = document.documentElement.dataset.theme;
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : dark.matches);
}

followTheme();
dark.addEventListener("change", followTheme);
new MutationObserver(followTheme).observe(document.documentElement, { attributeFilter: ["data-theme"] });

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  tryItOutEnabled: false,
  validatorUrl: null, // no request leaves this machine
  requestInterceptor(request) {
    // The session acts, so the form's protection applies; a Bearer key in "Authorize" needs none.
    if (!["GET", "HEAD"].includes(request.method ?? "GET") && !request.headers.Authorization) {
      request.headers["X-CSRFToken"] = place.dataset.csrf;
    }
    return request;
  },
});
