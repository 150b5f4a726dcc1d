// The table of neurons, and one neuron in full.
"use strict";
(() => {
  const { load, unpack, open, fill, link, element, known, number, small, time, parts, plots, visit, NotFound, excited } = actprobe;
  const section = document.getElementById("neurons");
  if (!section) return;
  let runs = null, run = null, table = null;
  const control = (name) => section.querySelector(`[name=${name}]`);

  async function prepare() {
    if (runs) return;
    runs = await open(section, choose);
    for (const each of runs) {
      each.values = each.features.map((feature) => Array.from(unpack(feature.values)));
      const recording = unpack(each.unit_recording), seconds = unpack(each.unit_seconds);
      each.units = Array.from(recording, (row, i) => each.recordings[row] + (each.unit === "excerpt" ? ` at ${seconds[i].toFixed(2)} s` : ""));
    }
    for (const each of section.querySelectorAll(".filters input, .filters select"))
      if (each.name !== "run") each.addEventListener("input", filter);
    choose(0);
  }

  function choose(place) {
    run = runs[place];
    section.querySelector("[name=run]").value = place;
    fill(control("layer"), "all layers", run.layers);
    fill(control("feature"), "all features", run.features.map((each) => each.name));
    const c = run.columns, r = (i) => c.r[i];
    table = actprobe.table({
      host: section.querySelector(".table"), count: c.r.length, open: reveal, label: "Neurons and features",
      columns: [
        { name: "layer", width: "minmax(5rem,1.2fr)", text: true, falling: false, key: (i) => run.layers[c.layer[i]], show: (i) => run.layers[c.layer[i]] },
        { name: "neuron", width: "minmax(4.6rem,.7fr)", falling: false, key: (i) => c.neuron[i], show: (i) => String(c.neuron[i]) },
        { name: "feature", width: "minmax(6rem,1.2fr)", text: true, falling: false, key: (i) => run.features[c.feature[i]].name, show: (i) => run.features[c.feature[i]].name },
        { name: "|r|", title: "Strength of Pearson's correlation", width: "minmax(5rem,1.2fr)", first: true, key: (i) => Math.abs(r(i)), show: (i) => bar(r(i)) },
        { name: "r", title: "Pearson's correlation, with its sign", width: "4.4rem", key: r, show: (i) => number(r(i)) },
        { name: "95 %", title: "Interval of r", width: "8rem", key: (i) => c.r_high[i] - c.r_low[i], falling: false, show: (i) => known(c.r_low[i]) ? `${number(c.r_low[i], 2)} to ${number(c.r_high[i], 2)}` : "–" },
        { name: "q", title: "False discovery rate over the layer", width: "5rem", falling: false, key: (i) => c.q[i], show: (i) => small(c.q[i]) },
        { name: "p_max", title: "Share of permutations in which max |r| of the layer is at least this large", width: "5rem", falling: false, key: (i) => c.p_max[i], show: (i) => small(c.p_max[i]) },
        { name: "random", title: "r of the same neuron with random weights", width: "5.6rem", key: (i) => Math.abs(c.r_random[i]), show: (i) => number(c.r_random[i]) },
        { name: "L2", title: "Euclidean distance of the normalised values", width: "4.4rem", falling: false, key: (i) => c.l2[i], show: (i) => number(c.l2[i]) },
      ],
    });
    filter();
  }
  function bar(r) {
    if (!known(r)) return "–";
    const inner = element("span", { class: r < 0 ? "bar falling" : "bar" });
    inner.style.width = `${Math.abs(r) * 100}%`;
    return element("span", { class: "barbox", title: number(r) }, inner);
  }
  function filter() {
    const value = (name) => section.querySelector(`[name=${name}]`).value;
    const c = run.columns, words = value("search").toLowerCase().split(/\s+/).filter(Boolean);
    const layer = value("layer"), feature = value("feature"), beats = section.querySelector("[name=beats]").checked;
    const least = Number(value("least"));
    section.querySelector("output").textContent = least.toFixed(2);
    const rows = [];
    for (let i = 0; i < c.r.length; i++) {
      if (layer !== "" && c.layer[i] !== Number(layer)) continue;
      if (feature !== "" && c.feature[i] !== Number(feature)) continue;
      if (beats && !(c.p_max[i] <= 0.05)) continue;
      if (least > 0 && !(Math.abs(c.r[i]) >= least)) continue;
      if (words.length) {
        const all = [run.layers[c.layer[i]].toLowerCase(), String(c.neuron[i]), run.features[c.feature[i]].name.toLowerCase()];
        if (!words.every((word) => /^\d+$/.test(word) ? all[1] === word || all[0].includes(word) : all.some((each) => each.includes(word)))) continue;
      }
      rows.push(i);
    }
    table.show(rows);
    section.querySelector(".count").textContent = `${rows.length} of ${c.r.length} rows`;
  }
  const model = () => run.model;
  function reveal(row) {
    const c = run.columns;
    visit({ neuron: `${model()}/${run.layers[c.layer[row]]}/${c.neuron[row]}`, feature: run.features[c.feature[row]].name, ...(runs.length > 1 ? { run: runs.indexOf(run) } : {}) });
  }

  async function show(found) {
    const [name, ...rest] = found.neuron.split("/");
    const neuron = Number(rest.pop()), layerName = rest.join("/");
    const fits = (each) => each.model === name && each.layers.includes(layerName);
    const place = "run" in found && runs[found.run] && fits(runs[found.run]) ? Number(found.run) : fits(run) ? runs.indexOf(run) : runs.findIndex(fits);
    const detail = section.querySelector(".detail");
    if (place < 0) throw new NotFound(`No run of this report has ${found.neuron}.`);
    if (runs[place] !== run) choose(place);
    const layer = run.layers.indexOf(layerName), c = run.columns, rows = [];
    for (let i = 0; i < c.r.length; i++) if (c.layer[i] === layer && c.neuron[i] === neuron) rows.push(i);
    if (!rows.length) throw new NotFound(`${layerName} has no neuron ${found.neuron.split("/").pop()}.`);
    const strongest = rows.reduce((best, i) => (Math.abs(c.r[i]) > (Math.abs(c.r[best]) || 0) ? i : best), rows[0]);
    const row = rows.find((i) => run.features[c.feature[i]].name === found.feature) ?? strongest;
    const chunks = run.chunks[layerName], chunk = await load(chunks.paths[Math.floor(neuron / chunks.size)]);
    const activity = activityOf(chunk, neuron % chunks.size);
    render(detail, rows, row, neuron, layerName, activity, chunk, neuron % chunks.size);
    const names = [layerName, `${layerName}/linear`].map((layer) => `${run.model}/${layer}/${neuron}`);
    const all = (await Promise.all(names.map(excited.drawn))).filter(Boolean);
    const tested = (await Promise.all(names.map((each) => actprobe.causal?.drawn(each)))).filter(Boolean);
    if (tested.length || all.length) detail.append(...tested, ...all);
  }
  function activityOf(chunk, place) {
    chunk.decoded ??= unpack(chunk.activity);
    const recordings = chunk.activity.shape[1], low = chunk.activity.low[place], high = chunk.activity.high[place];
    return Array.from(chunk.decoded.subarray(place * recordings, (place + 1) * recordings), (value) => low + (high - low) * value / 65535);
  }

  function render(detail, rows, row, neuron, layerName, activity, chunk, place) {
    const c = run.columns, feature = run.features[c.feature[row]], values = run.values[c.feature[row]];
    const title = `${run.model} · ${layerName} · neuron ${neuron}`;
    const axis = feature.unit ? `${feature.name} (${feature.unit})` : feature.name;
    const pick = element("select", { "aria-label": "Feature", onchange: (event) => reveal(Number(event.target.value)) },
      rows.map((i) => element("option", { value: i, selected: i === row }, run.features[c.feature[i]].name)));
    const scatter = element("div", { class: "plot" }), curves = element("div", { class: "plot wide" }), strip = element("div", { class: "plot strip" });
    const level = run.levels.find((each) => each.layer === layerName && each.feature === feature.name);
    detail.replaceChildren(
      element("h3", { tabindex: "-1" }, title), element("p", {}, "against ", pick, ` · ${feature.description}`),
      element("p", { class: "facts" }, sentence(row, level)),
      strip, element("div", { class: "pair" }, scatter, curves), playlist(chunk, place));
    detail.hidden = false;
    const paths = run.units.map(plots.plain);
    const keep = values.map((value, i) => i).filter((i) => known(values[i]) && known(activity[i]));
    plots.draw(scatter, [{ x: keep.map((i) => values[i]), y: keep.map((i) => activity[i]), text: keep.map((i) => paths[i]), mode: "markers", type: "scatter",
      marker: { color: plots.BLUE, size: 6, opacity: 0.7 }, hovertemplate: "%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>" }],
      { title: { text: run.units.length < run.all_units ? `${run.units.length} of ${run.all_units} ${run.unit}s, evenly sampled` : `one point per ${run.unit}`, font: { size: 13 } }, xaxis: { title: { text: axis } }, yaxis: { title: { text: "mean activation" } } });
    const inOrder = keep.slice().sort((a, b) => values[a] - values[b]);
    const standard = (all) => {
      const mean = keep.reduce((sum, i) => sum + all[i], 0) / keep.length;
      const spread = Math.sqrt(keep.reduce((sum, i) => sum + (all[i] - mean) ** 2, 0) / keep.length) || 1;
      return inOrder.map((i) => (all[i] - mean) / spread);
    };
    const ranks = inOrder.map((_, i) => i + 1);
    plots.draw(curves, [
      { x: ranks, y: standard(activity), name: `neuron ${neuron}`, mode: "lines", line: { color: plots.BLUE, width: 1 }, text: inOrder.map((i) => paths[i]), hovertemplate: "%{text}<extra></extra>" },
      { x: ranks, y: standard(values), name: plots.plain(feature.name), mode: "lines", line: { color: plots.ORANGE, width: 2, dash: "dash" }, hoverinfo: "skip" },
    ], { xaxis: { title: { text: `${run.unit}s, by ${plots.plain(feature.name)}` } }, yaxis: { title: { text: "standardised value" } } });
    drawStrip(strip, row, level);
    detail.querySelector("h3").focus({ preventScroll: true });
    detail.scrollIntoView({ block: "start" });
  }
  function sentence(row, level) {
    const c = run.columns;
    if (!c.n[row]) return `No ${run.unit} has a value of this feature.`;
    if (!known(c.r[row])) return "This neuron answers alike to every recording: there is nothing to correlate.";
    const parts = [`r = ${number(c.r[row])}`];
    if (known(c.r_low[row])) parts.push(`95 % interval ${number(c.r_low[row])} to ${number(c.r_high[row])}`);
    parts.push(`n = ${c.n[row]}`, `q = ${small(c.q[row])} over the layer`);
    if (known(c.p_max[row])) parts.push(`p_max = ${small(c.p_max[row])}`);
    if (known(c.r_random[row])) parts.push(`the same neuron with random weights ${number(c.r_random[row])}`);
    const text = parts.join(", ") + ".";
    if (!level || !known(level.null_95)) return text;
    return text + ` 95th percentile of max |r| under permutation: ${number(level.null_95)}.`;
  }
  // The legend stands below as text: the library's own does not fit a phone.
  function drawStrip(host, row, level) {
    const c = run.columns, r = c.r[row];
    if (!known(r)) { host.remove(); return; }
    const bounded = known(c.r_low[row]), permuted = level && known(level.null_95), keys = [["strongest", "●", bounded ? "r with its 95 % interval" : "r"]];
    const shapes = permuted ? [{ type: "rect", x0: -level.null_95, x1: level.null_95, y0: 0, y1: 1, yref: "paper", fillcolor: "#888", opacity: 0.25, line: { width: 0 } }] : [];
    const traces = [{ x: [r], y: [0], mode: "markers", marker: { color: plots.BLUE, size: 11 },
      error_x: bounded ? { type: "data", symmetric: false, array: [c.r_high[row] - r], arrayminus: [r - c.r_low[row]], color: plots.BLUE } : undefined, hovertemplate: "r = %{x:.3f}<extra></extra>" }];
    if (known(c.r_random[row])) {
      traces.push({ x: [c.r_random[row]], y: [0], mode: "markers", marker: { color: plots.ORANGE, symbol: "x", size: 10 }, hovertemplate: "%{x:.3f}<extra></extra>" });
      keys.push(["same", "✖", "same neuron, random weights"]);
    }
    const random = (level?.random ?? []).filter(known);
    traces.push({ x: random, y: random.map(() => 0), mode: "markers", marker: { color: plots.GREEN, symbol: "triangle-up-open", size: 11 }, hovertemplate: "%{x:.3f}<extra></extra>" });
    if (random.length) keys.push(["random", "△", "strongest neuron of the layer, random weights"]);
    if (permuted) keys.push(["null", "■", "up to the 95th percentile of max |r| under permutation"]);
    host.after(element("p", { class: "note" }, keys.map(([name, sign, text], i) => [i ? "; " : "", element("span", { class: `key ${name}` }, sign), ` ${text}`])));
    plots.draw(host, traces, { shapes, showlegend: false, height: 110, margin: { l: 20, r: 20, t: 8, b: 50 }, xaxis: { range: [-1.05, 1.05], title: { text: "Pearson's r" } }, yaxis: { visible: false, range: [-1, 1] } });
  }
  function playlist(chunk, place) {
    const { length } = chunk.playlist;
    const [recordings, starts, ends, values] = ["recordings", "starts", "ends", "values"].map((name) => unpack(chunk.playlist[name]));
    const lists = ["Highest activation", "Lowest activation"].map((title, end) => {
      const items = [];
      for (let k = 0; k < length; k++) {
        const at = (place * 2 + end) * length + k, recording = run.recordings[recordings[at]];
        if (recording === undefined) continue;  // fewer recordings than places
        const clip = run.clips[`${recordings[at]}|${Math.round(starts[at] * 1000)}`];
        items.push(element("li", {}, element("span", { class: "name", dir: "auto" }, recording),
          element("span", { class: "when" }, `${time(starts[at])} to ${time(ends[at])}, activation ${number(values[at])}`),
          clip ? element("audio", { controls: true, preload: "none", src: clip, "aria-label": `${recording} at ${time(starts[at])}` })
            : element("span", { class: "when" }, "no sound in this report")));
      }
      return element("div", {}, element("h4", {}, title), element("ol", { class: "playlist" }, items));
    });
    return element("div", { class: "pair" }, lists);
  }

  parts.set("neurons", {
    async open(found) {
      await prepare();
      if ("neuron" in found) await show(found);
      else table.draw();
    },
  });
})();
