// NRE by layer, and excerpts beside their inversions, as pictures and sounds.
"use strict";
(() => {
  const { load, unpack, link, visit, NotFound, element, known, number, parts, plots, picture } = actprobe;
  const section = document.getElementById("inversion");
  if (!section) return;
  let data = null, colours = null, chosen = null, play = () => {}, mark = 0;
  const control = (name) => section.querySelector(`[name=${name}]`);

  async function prepare() {
    if (data) return;
    data = await load(section.dataset.runs);
    if (data.nre.length) drawErrors(data.nre);
    if (!data.excerpts.length) return;
    colours = unpack(data.colours);
    control("voice").addEventListener("input", () => { list(); choose(); });
    control("excerpt").addEventListener("input", choose);
    for (const name of ["scale", "phase"]) control(name).addEventListener("input", () => show(chosen));
    control("loop").addEventListener("input", () => { const player = section.querySelector("audio"); if (player) player.loop = control("loop").checked; });
    control("voice").parentElement.hidden = !data.excerpts.some((each) => each.voice !== null);
    list();
  }
  function list() {
    const voice = control("voice").value;
    const shown = data.excerpts.map((each, i) => [each, i]).filter(([each]) => voice === "" || each.voice === (voice === "vocal"));
    const models = new Set(data.excerpts.map((each) => each.model)).size;
    control("excerpt").replaceChildren(...shown.map(([each, i]) => element("option", { value: i }, models > 1 ? `${each.model}: ${each.title}` : each.title)));
  }
  function choose() {
    const place = control("excerpt").value;
    if (place !== "") { visit({ excerpt: `${data.excerpts[place].model}/${data.excerpts[place].title}` }); return; }
    for (const name of ["player", "scale"]) section.querySelector(`.${name}`).replaceChildren();
    section.querySelector(".spectrograms").replaceChildren(element("p", { class: "note" }, "No excerpt fits the filter."));
  }

  async function show(place) {
    const excerpt = await load(data.excerpts[place].path), shared = control("scale").value === "shared";
    chosen = place;
    if (![...control("excerpt").options].some((each) => Number(each.value) === place)) { control("voice").value = ""; list(); }
    control("excerpt").value = place;
    const panels = excerpt.panels;
    for (const panel of panels) panel.decoded ??= unpack(panel.values);
    const ends = (panel) => [panel.decoded.reduce((a, b) => Math.min(a, b), Infinity), panel.decoded.reduce((a, b) => Math.max(a, b), -Infinity)];
    const all = ends(panels[0]);  // the input's: an inversion beyond it is cut off at the ends
    const player = element("audio", { controls: true, "aria-label": `Sound of ${excerpt.title}` });
    player.loop = control("loop").checked;
    const several = new Set(panels.map((panel) => panel.method).filter(Boolean)).size > 1;
    const name = (panel) => several && panel.method ? `${panel.layer}, ${panel.method}` : panel.layer;
    const buttons = [], heads = [];
    const figures = panels.map((panel, i) => {
      const canvas = element("canvas", { width: panel.values.shape[0], height: panel.values.shape[1] });
      picture.paint(canvas, panel.decoded, panel.values.shape, shared ? all : ends(panel), colours);
      const head = element("span", { class: "playhead" });
      heads.push(head);
      const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `Play ${name(panel)}`, onclick: () => play(i, true) },
        picture.axes({ content: [canvas, head], ticks: excerpt.ticks, start: excerpt.start, end: excerpt.end, ylabel: "frequency (Hz)" }));
      buttons.push(button);
      const facts = [];
      if (known(panel.error)) facts.push(`error ${number(panel.error, 2)}`);
      if (known(panel.output)) facts.push(`output ${number(panel.output, 2)}`);
      return element("figure", {}, element("figcaption", {}, element("strong", {}, name(panel)), facts.length ? ` · ${facts.join("; ")}` : ""), button);
    });
    const playing = element("span", { class: "playing", role: "status" });
    const original = panels[0].sounds.recording;
    const buttonOriginal = original ? element("button", { type: "button", "aria-pressed": "false", onclick: () => play(-1, true) }, "the recording itself") : null;
    play = (i, start) => {
      mark = i;
      const sound = i < 0 ? original : panels[i].sounds[control("phase").value] ?? panels[i].sounds.estimated;
      buttons.forEach((each, k) => each.setAttribute("aria-pressed", String(k === i)));
      buttonOriginal?.setAttribute("aria-pressed", String(i < 0));
      playing.textContent = i < 0 ? "the recording itself" : name(panels[i]);
      if (!sound) { player.removeAttribute("src"); player.load(); playing.textContent += ": no sound in this report"; return; }
      picture.change(player, sound, start);
    };
    picture.follow(player, heads);
    section.querySelector(".player").replaceChildren(player, ...(buttonOriginal ? [buttonOriginal] : []), element("span", {}, "sound: ", playing));
    section.querySelector(".scale").replaceChildren(...(shared ? [colourBar(all)] : [element("p", { class: "note" }, "Each panel has another colour scale: do not compare levels between panels.")]));
    section.querySelector(".spectrograms").replaceChildren(...figures);
    play(Math.min(mark, panels.length - 1) < 0 && !original ? 0 : Math.min(mark, panels.length - 1), false);
  }
  function colourBar([low, high]) {
    const canvas = element("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    picture.paint(canvas, Float32Array.from({ length: 256 }, (_, i) => i), [256, 1], [0, 255], colours);
    return element("p", { class: "note colourbar" }, number(low, 1), canvas, `${number(high, 1)} (unit of the front end; values beyond are clipped)`);
  }
  section.querySelector(".spectrograms")?.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const buttons = [...section.querySelectorAll(".spectrograms button")], place = buttons.indexOf(document.activeElement);
    if (place < 0) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(buttons.length - 1, place + step))].focus();
  });

  function drawErrors(runs) {
    const symbols = ["circle", "square", "diamond", "triangle-up", "x"], dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
    const inks = [plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY];
    const traces = [], layers = [...new Set(runs.flatMap((run) => run.layers))], models = new Set(runs.map((run) => run.model)).size;
    const label = (run, method) => runs.length > 1 ? `${method}, ${models > 1 ? run.model : run.corpus}` : method;
    for (const run of runs) for (const method of run.methods) {
      const rows = run.layers.map((layer) => run.nre.find((row) => row.method === method && row.layer === layer)).filter(Boolean);
      const i = traces.length % inks.length, bounded = rows.some((row) => known(row.low)), linear = method === "linear readout";
      const ink = linear ? "#666" : inks[i];
      traces.push({ x: rows.map((row) => row.layer), y: rows.map((row) => row.nre), name: plots.plain(label(run, method)),
        mode: "lines+markers", line: { color: ink, dash: linear ? "dash" : dashes[i] }, marker: { symbol: linear ? "line-ew-open" : symbols[i], size: 9 },
        error_y: bounded ? { type: "data", symmetric: false, array: rows.map((row) => known(row.high) ? row.high - row.nre : 0), arrayminus: rows.map((row) => known(row.low) ? row.nre - row.low : 0), color: ink } : undefined });
    }
    // Of several runs only the mean excerpt is drawn, as a line with a name in the legend; the table has the others.
    if (runs.length > 1) for (const run of runs) {
      const mean = run.baselines.find((each) => each.method === "mean excerpt"), like = traces.find((trace) => trace.name === plots.plain(label(run, run.methods[0])));
      if (mean) traces.push({ x: layers, y: layers.map(() => mean.value), name: plots.plain(`${label(run, mean.method)} ${number(mean.value, 2)}`),
        mode: "lines", line: { color: like?.line.color, dash: "dot", width: 1.5 }, hoverinfo: "skip" });
    }
    const baselines = (runs.length === 1 ? runs[0].baselines : []).slice().sort((a, b) => a.value - b.value);
    const top = Math.max(...traces.flatMap((trace) => trace.y), ...baselines.map((each) => each.value));
    let beneath = -1;
    const apart = (value) => { beneath = Math.max(value, beneath + 0.07 * top); return beneath; };  // labels do not overlap
    const host = section.querySelector(".nre"), rows = host.clientWidth < 700 ? traces.length : 1;
    plots.draw(host, traces, { xaxis: { title: { text: "layer, from the input to the output" }, type: "category", categoryorder: "array", categoryarray: layers },
      yaxis: { title: { text: "NRE" }, rangemode: "tozero" }, showlegend: true, margin: { l: 60, r: runs.length > 1 ? 15 : 135, t: 10 + 22 * rows, b: 50 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      shapes: baselines.map((each) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: each.value, y1: each.value, line: { dash: "dot", width: 1, color: "#888" } })),
      annotations: baselines.map((each) => ({ xref: "paper", x: 1, y: apart(each.value), xanchor: "left", showarrow: false, font: { size: 11 }, text: plots.plain(`${each.method} ${number(each.value, 2)}`) })) });
    const names = runs.flatMap((run) => run.methods.map((method) => [run, method]));
    section.querySelector(".comparison").replaceChildren(
      element("caption", {}, "NRE, with its 95 % interval over recordings"),
      element("tr", {}, element("th", { class: "text" }, "layer"), names.map(([run, method]) => element("th", {}, label(run, method)))),
      ...layers.map((layer) => element("tr", {}, element("td", { class: "text" }, element("a", { href: link({ layer: `${runs.find((run) => run.layers.includes(layer)).model}/${layer}` }) }, layer)),
        names.map(([run, method]) => {
          const row = run.nre.find((each) => each.layer === layer && each.method === method);
          return element("td", {}, row ? number(row.nre) + (known(row.low) ? ` (${number(row.low)} to ${number(row.high)})` : "") : "–");
        }))),
      ...[...new Set(runs.flatMap((run) => run.baselines.map((each) => each.method)))].map((baseline) => element("tr", {}, element("td", { class: "text" }, baseline),
        names.map(([run]) => element("td", {}, number(run.baselines.find((each) => each.method === baseline)?.value))))));
    const differences = runs.flatMap((run) => run.differences.map((each) => ({ ...each, model: run.model })));
    const table = section.querySelector(".differences");
    table.hidden = !differences.length;
    table.replaceChildren(
      element("caption", {}, "Differences of methods on the same excerpts: below 0 the first has the lower error; significant where the interval excludes 0"),
      element("tr", {}, ["layer", "methods", "difference of NRE", "95 % interval"].map((each, i) => element("th", { class: i < 2 ? "text" : "" }, each))),
      ...differences.map((each) => element("tr", {}, element("td", { class: "text" }, each.layer), element("td", { class: "text" }, `${each.method} minus ${each.against}`),
        element("td", {}, number(each.value)), element("td", {}, known(each.low) ? `${number(each.low)} to ${number(each.high)}` : "–"))));
  }
  parts.set("inversion", {
    async open(found) {
      await prepare();
      if (!data.excerpts.length) { if ("excerpt" in found) throw new NotFound("The report has no excerpts."); return; }
      if (!("excerpt" in found)) { if (chosen === null) await show(0); return; }
      const place = data.excerpts.findIndex((each) => `${each.model}/${each.title}` === found.excerpt);
      if (place < 0) { if (chosen === null) await show(0); throw new NotFound(`The report has no excerpt ${found.excerpt}.`); }
      await show(place);
    },
  });
})();
