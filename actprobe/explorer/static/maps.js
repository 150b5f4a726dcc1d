// Activation maps against features: the table of channels, scores against their null, drawn matches.
"use strict";
(() => {
  const { open, fill, link, element, known, number, small, parts, plots, picture, visit, NotFound } = actprobe;
  const section = document.getElementById("maps");
  if (!section) return;
  let runs = null, run = null, table = null;
  const control = (name) => section.querySelector(`[name=${name}]`);

  async function prepare() {
    if (runs) return;
    runs = await open(section, choose);
    for (const each of section.querySelectorAll(".filters input, .filters select"))
      if (each.name !== "run") each.addEventListener("input", ["distance", "agree"].includes(each.name) ? thin : filter);
    choose(0);
  }
  function choose(place) {
    run = runs[place];
    section.querySelector("[name=run]").value = place;
    fill(control("layer"), "all layers", run.layers);
    fill(control("feature"), "all features", run.features);
    const c = run.columns, above = (i) => c.score[i] - c.score_null[i];
    const column = (name, title, digits = 3, label = name) => ({ name: label, title, width: "6.6rem", key: (i) => c[name][i], show: (i) => number(c[name][i], digits) });
    table = actprobe.table({
      host: section.querySelector(".table"), count: c.score.length, open: reveal, label: "Channels and features",
      columns: [
        { name: "layer", width: "minmax(5rem,1.2fr)", text: true, falling: false, key: (i) => run.layers[c.layer[i]], show: (i) => run.layers[c.layer[i]] },
        { name: "channel", width: "5rem", falling: false, key: (i) => c.channel[i], show: (i) => String(c.channel[i]) },
        { name: "feature", width: "minmax(6rem,1.2fr)", text: true, falling: false, key: (i) => run.features[c.feature[i]], show: (i) => run.features[c.feature[i]] },
        { name: "above null", title: "Score less the score of mismatched recordings", width: "7.6rem", first: true, key: above, show: (i) => number(above(i)) },
        column("score", "Mean over recordings"), column("score_null", "Mean over mismatched recordings", 3, "null"),
        { name: "q", title: "False discovery rate over the channels of the layer", width: "5rem", falling: false, key: (i) => c.q[i], show: (i) => small(c.q[i]) },
        column("matches", "Matches a recording", 1), column("consistency", "Share of matches that agree on one shift and scale", 3, "agreeing"), column("distance", "Mean distance of matched descriptors", 1),
      ],
    });
    const all = Array.from(c.score.keys(), above).filter(known), slider = control("least");
    // Its ends are those of the run: scores of one corpus are a tenth of another's.
    slider.min = Math.floor(1000 * all.reduce((a, b) => Math.min(a, b), 0)) / 1000;
    slider.max = Math.ceil(1000 * all.reduce((a, b) => Math.max(a, b), 0)) / 1000;
    slider.value = slider.min;
    gallery();
    filter();
  }
  function filter() {
    const value = (name) => section.querySelector(`[name=${name}]`).value;
    const c = run.columns, layer = value("layer"), feature = value("feature"), least = Number(value("least"));
    const words = value("search").toLowerCase().split(/\s+/).filter(Boolean);
    section.querySelector("output").textContent = least.toFixed(3);
    const rows = [];
    for (let i = 0; i < c.score.length; i++) {
      if (layer !== "" && c.layer[i] !== Number(layer)) continue;
      if (feature !== "" && c.feature[i] !== Number(feature)) continue;
      if (least > Number(control("least").min) && !(c.score[i] - c.score_null[i] >= least)) continue;
      const all = [run.layers[c.layer[i]].toLowerCase(), String(c.channel[i]), run.features[c.feature[i]].toLowerCase()];
      if (!words.every((word) => all.some((each) => each === word || (!/^\d+$/.test(word) && each.includes(word))))) continue;
      rows.push(i);
    }
    table.show(rows);
    section.querySelector(".count").textContent = `${rows.length} of ${c.score.length} rows`;
    histograms(layer);
  }
  function histograms(layer) {
    const host = section.querySelector(".histograms"), c = run.columns;
    host.replaceChildren(...run.features.map(() => element("div", { class: "plot" })));
    run.features.forEach((name, feature) => {
      const rows = Array.from(c.score.keys()).filter((i) => c.feature[i] === feature && (layer === "" || c.layer[i] === Number(layer)));
      const of = (column) => rows.map((i) => c[column][i]).filter(known);
      const every = [...of("score"), ...of("score_null")], low = every.reduce((a, b) => Math.min(a, b), 0), high = every.reduce((a, b) => Math.max(a, b), 0.001);
      const xbins = { start: low, end: high * 1.04, size: (high - low) / 30 };  // the same for both, or heights say nothing
      plots.draw(host.children[feature], [
        { x: of("score"), type: "histogram", name: "same recording", opacity: 0.75, marker: { color: plots.BLUE }, xbins },
        { x: of("score_null"), type: "histogram", name: "others (null)", opacity: 0.6, marker: { color: plots.ORANGE, pattern: { shape: "/" } }, xbins },
      ], { barmode: "overlay", xaxis: { title: { text: `score with ${plots.plain(name)}` } }, yaxis: { title: { text: "channels" } } });
    });
  }
  function reveal(row) {
    const c = run.columns;
    visit({ map: `${run.model}/${run.layers[c.layer[row]]}/${c.channel[row]}`, feature: run.features[c.feature[row]], ...(runs.length > 1 ? { run: runs.indexOf(run) } : {}) });
  }

  function gallery() {
    const distances = run.drawn.flatMap((item) => item.sides.flatMap((side) => side.matches.map((match) => match[4])));
    const slider = control("distance"), most = Math.ceil(distances.reduce((a, b) => Math.max(a, b), 5) / 5) * 5;
    slider.max = most;
    slider.value = most;
    section.querySelector(".gallery").replaceChildren(...run.drawn.map((item) => card(item)));
    if (!run.drawn.length) section.querySelector(".gallery").append(element("p", { class: "note" }, "This run drew no matches (actprobe-maps --figures=N does)."));
    thin();
  }
  // One channel beside every feature: the feature above, the map below, a line for each match.
  function card(item) {
    const head = element("h4", {}, element("a", { href: link({ map: `${run.model}/${item.layer}/${item.channel}`, feature: item.feature, ...(runs.length > 1 ? { run: runs.indexOf(run) } : {}) }) }, `${item.layer}, channel ${item.channel}`), `: rank ${item.rank} for ${item.feature}`);
    return element("article", { class: "card" }, head, element("p", { class: "facts", dir: "auto" }, item.recording), element("div", { class: "sides" }, item.sides.map((side) => element("figure", {},
      element("figcaption", {}, element("strong", {}, side.unit ? `${side.feature} (${side.unit})` : side.feature), `; below the map${side.negative ? ", its negative" : ""} `, element("span", { class: "tally" })), stack(item, side)))));
  }
  const SVG = "http://www.w3.org/2000/svg", PART = 0.46;  // each picture's part of the height; the rest is between them
  function stack(item, side) {
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("viewBox", "0 0 100 100");
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("aria-hidden", "true");
    const lines = side.matches.slice().sort((a, b) => a[5] - b[5]);
    for (const [x0, y0, x1, y1, distance, agrees] of lines) {
      const line = document.createElementNS(SVG, "line");
      const ends = { x1: 100 * x0, y1: 100 * PART * y0, x2: 100 * x1, y2: 100 * (1 - PART + PART * y1) };
      for (const [name, value] of Object.entries(ends)) line.setAttribute(name, value.toFixed(2));
      line.classList.add(agrees ? "agrees" : "other");
      line.dataset.distance = distance;
      drawing.append(line);
    }
    const alt = `${side.feature} of ${item.recording} above channel ${item.channel} of ${item.layer}; ${lines.filter((each) => each[5]).length} of ${lines.length} matches agree`;
    const content = element("div", { class: "stack", role: "img", "aria-label": alt },
      element("img", { src: side.feature_picture, alt: "", loading: "lazy" }), element("img", { src: side.map_picture, alt: "", loading: "lazy" }), drawing);
    const ticks = [...side.ticks.map(([place, label]) => [1 - PART + PART * place, label]), ...side.ticks.map(([place, label]) => [PART * place, label])];
    return picture.axes({ content, ticks, start: item.start, end: item.end, ylabel: side.axis });
  }
  function thin() {
    const most = Number(control("distance").value), agree = control("agree").checked;
    section.querySelector("output.distance").textContent = String(most);
    let shown = 0, all = 0;
    for (const figure of section.querySelectorAll(".sides > figure")) {
      const lines = [...figure.querySelectorAll("line")];
      for (const line of lines) line.style.display = Number(line.dataset.distance) <= most && (!agree || line.classList.contains("agrees")) ? "" : "none";
      const left = lines.filter((line) => line.style.display === "");
      figure.querySelector(".tally").textContent = `(${left.length} of ${lines.length} matches shown, ${left.filter((line) => line.classList.contains("agrees")).length} agree)`;
      if (figure.closest(".gallery")) { shown += left.length; all += lines.length; }
    }
    section.querySelector(".drawn-count").textContent = all ? `${shown} of ${all} matches shown` : "";
  }
  function show(found) {
    const [name, ...rest] = found.map.split("/");
    const channel = Number(rest.pop()), layerName = rest.join("/");
    const fits = (each) => each.model === name && each.layers.includes(layerName);
    const place = "run" in found && runs[found.run] && fits(runs[found.run]) ? Number(found.run) : fits(run) ? runs.indexOf(run) : runs.findIndex(fits);
    if (place < 0) throw new NotFound(`No run of this report has ${found.map}.`);
    if (runs[place] !== run) choose(place);
    const c = run.columns, layer = run.layers.indexOf(layerName);
    const rows = Array.from(c.score.keys()).filter((i) => c.layer[i] === layer && c.channel[i] === channel);
    if (!rows.length) throw new NotFound(`${layerName} has no channel ${channel}.`);
    const detail = section.querySelector(".detail");
    const drawn = run.drawn.filter((each) => each.layer === layerName && each.channel === channel);
    detail.replaceChildren(element("h3", { tabindex: "-1" }, `${run.model} · ${layerName} · channel ${channel}`),
      element("div", { class: "scroll" }, element("table", {},
        element("tr", {}, ["feature", "n", "score", "null", "q", "matches", "consistent", "distance"].map((each, i) => element("th", { class: i ? "" : "text" }, each))),
        rows.map((i) => element("tr", {}, element("td", { class: "text" }, run.features[c.feature[i]]), [String(c.n[i]), number(c.score[i]), number(c.score_null[i]), small(c.q[i]), number(c.matches[i], 1), number(c.consistency[i]), number(c.distance[i], 1)].map((each) => element("td", {}, each)))))),
      ...drawn.map((item) => card(item)),
      drawn.length ? "" : element("p", { class: "note" }, "The run drew matches of its best channels only; this one is not among them."));
    detail.hidden = false;
    thin();
    detail.querySelector("h3").focus({ preventScroll: true });
    detail.scrollIntoView({ block: "start" });
  }
  parts.set("maps", {
    async open(found) {
      await prepare();
      if ("map" in found) show(found); else table.draw();
    },
  });
})();
