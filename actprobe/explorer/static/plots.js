// Plots in the colours of the page; shapes and dashes hold in black and white.
"use strict";
actprobe.plots = (() => {
  // Okabe and Ito's colours, distinct for colour-blind readers.
  const BLUE = "#0072B2", ORANGE = "#D55E00", GREEN = "#009E73", SKY = "#56B4E9", PURPLE = "#CC79A7";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function layout(more = {}) {
    const ink = dark.matches ? "#e8e8e8" : "#222", grid = dark.matches ? "#444" : "#ddd";
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: ink, ticks: "outside", tickcolor: ink, automargin: true };
    const { xaxis, yaxis, ...rest } = more;
    return {
      font: { color: ink, family: "system-ui, sans-serif", size: 13 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 60, r: 15, t: 30, b: 50 }, hovermode: "closest", legend: { orientation: "h", y: 1.12, x: 0 },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }
  // The library is large and most parts of a report open without it: it is loaded with the first plot.
  let library = null;
  function loaded() {
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "assets/plotly.min.js";
      script.onload = resolve;
      script.onerror = () => reject(new Error("assets/plotly.min.js is missing from the report's folder"));
      document.head.append(script);
    });
    return library;
  }
  // Blue, red-orange and green are too dark for a dark page.
  const LIGHTER = { [BLUE]: SKY, [ORANGE]: "#FF8A2B", [SKY]: "#CCE9F9", [GREEN]: "#2CC79B" };
  function shade(value) {
    if (!dark.matches) return value;
    if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map(shade) : value;
    if (value === null || typeof value !== "object") return LIGHTER[value] ?? value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shade(each)]));
  }
  const drawn = new Map();
  // Hover text is read by the library as a small markup: what comes from outside is made plain first.
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  async function draw(host, traces, more) {
    drawn.set(host, [traces, more]);
    await loaded();
    if (drawn.get(host)?.[0] !== traces) return null;  // something newer is drawn there
    return Plotly.react(host, shade(traces), layout(more), { displaylogo: false, responsive: true, displayModeBar: false });
  }
  dark.addEventListener("change", () => {
    for (const [host, [traces, more]] of drawn) {
      if (host.isConnected) draw(host, traces, more); else drawn.delete(host);
    }
  });
  return { draw, plain, BLUE, ORANGE, GREEN, SKY, PURPLE };
})();
