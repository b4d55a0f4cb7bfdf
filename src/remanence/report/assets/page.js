// The page around the rows: light and dark, and charts that come alive when they are seen.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  // Colours in the specs are CSS variables, so a chart is drawn once and follows the page. `ast` keeps Vega from
  // compiling code at run time, which the content-security policy forbids.
  const specs = JSON.parse(document.getElementById("data-specs").textContent);
  const options = {
    mode: "vega-lite", actions: false, renderer: "svg", ast: true, defaultStyle: false, tooltip: { theme: "report" },
  };
  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const still = [...plot.childNodes];
    vegaEmbed(plot, specs[figure.dataset.chart], options).then(
      () => figure.setAttribute("data-live", ""),
      () => plot.replaceChildren(...still), // the still picture says the same
    );
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "200px" });
  for (const figure of document.querySelectorAll("[data-chart]")) seen.observe(figure);
})();
