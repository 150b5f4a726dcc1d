// Causal tests: the evidence on every neuron, and what stands on a neuron's own page.
"use strict";
actprobe.causal = (() => {
  const { load, element, known, number, small, visit, parts, plots } = actprobe;
  const section = document.getElementById("causal");
  let data = null, table = null;

  async function prepare() {
    data ??= section ? await load(section.dataset.runs) : null;
    return data;
  }
  const JUDGED = ["follows", "responds", "detects", "matters"];
  const sign = (value) => (value === true ? "yes" : value === false ? "no" : "–");
  const CHOICES = {
    all: () => true,
    used: (row) => row.follows === true && row.responds !== false && row.matters === true,
    idle: (row) => row.follows === true && row.matters === false,
    unnamed: (row) => row.follows === false && row.matters === true,
  };

  function tabulate() {
    const rows = data.evidence, text = (name) => (i) => rows[i][name] ?? "–";
    const several = new Set(rows.map((row) => row.model)).size > 1;
    table = actprobe.table({
      host: section.querySelector(".table"), count: rows.length, label: "Evidence on neurons",
      open: (i) => visit({ tested: `${rows[i].model}/${rows[i].layer}/${rows[i].neuron}` }),
      columns: [
        ...(several ? [{ name: "network", width: "minmax(5rem,1fr)", text: true, falling: false, key: (i) => rows[i].model, show: text("model") }] : []),
        { name: "layer", width: "minmax(5rem,1fr)", text: true, falling: false, key: (i) => rows[i].layer, show: text("layer") },
        { name: "neuron", width: "4.6rem", falling: false, key: (i) => rows[i].neuron, show: (i) => String(rows[i].neuron) },
        { name: "feature", width: "minmax(6rem,1fr)", text: true, falling: false, key: (i) => rows[i].feature, show: text("feature") },
        { name: "r", width: "4.4rem", key: (i) => Math.abs(rows[i].r), show: (i) => number(rows[i].r, 2) },
        { name: "factor", width: "minmax(6rem,1fr)", text: true, falling: false, key: (i) => rows[i].factor, show: text("factor") },
        { name: "r2", title: "Share of the neuron's variance that the factor explains", width: "4.4rem", key: (i) => rows[i].r2, show: (i) => number(rows[i].r2, 2) },
        { name: "concept", width: "minmax(6rem,1fr)", text: true, falling: false, key: (i) => rows[i].concept, show: text("concept") },
        { name: "change", title: "Of the output's metric, or of the output, without the neuron", width: "6rem", key: (i) => Math.abs(rows[i].change), show: (i) => number(rows[i].change, 4) },
        ...JUDGED.map((name) => ({ name, width: "5.4rem", key: (i) => ({ true: 1, false: 0 }[rows[i][name]]), show: (i) => sign(rows[i][name]) })),
      ],
    });
    const pick = section.querySelector("[name=evidence]"), search = section.querySelector("[name=neuron]");
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = rows.map((row, i) => i).filter((i) => CHOICES[pick.value](rows[i])
        && words.every((word) => [rows[i].layer.toLowerCase(), String(rows[i].neuron), rows[i].verdict].some((each) => (/^\d+$/.test(word) ? each === word : each.includes(word)))));
      table.show(kept);
      section.querySelector(".count").textContent = `${kept.length} of ${rows.length} neurons`;
    };
    for (const each of [pick, search]) each.addEventListener("input", filter);
    filter();
  }

  // What the tests say of a neuron, MODEL/LAYER/NUMBER; null where they have nothing.
  async function drawn(name) {
    if (!(await prepare())) return null;
    const cut = name.lastIndexOf("/"), path = data.neurons[name.slice(0, cut)];
    const found = path ? (await load(path))[name.slice(cut + 1)] : null;
    if (!found) return null;
    const row = data.evidence.find((each) => `${each.model}/${each.layer}/${each.neuron}` === name);
    const curves = found.curves.map((curve) => {
      const host = element("div", { class: "plot" });
      const title = `${curve.factor.replaceAll("_", " ")}: r2 ${number(curve.r2, 2)}, q ${small(curve.q)}, random weights ${number(curve.random, 2)}`;
      const line = (values, more) => ({ x: curve.dose, y: values, mode: "lines", hoverinfo: "skip", showlegend: false, ...more });
      plots.draw(host, [
        line(curve.low, { line: { width: 0 } }),
        line(curve.high, { line: { width: 0 }, fill: "tonexty", fillcolor: "rgba(0,114,178,0.25)" }),
        line(curve.mean, { mode: "lines+markers", line: { color: plots.BLUE, width: 2 }, hoverinfo: "all", hovertemplate: "%{x:.4g}: %{y:.4g}<extra></extra>" }),
      ], { title: { text: title, font: { size: 13 } }, height: 260, xaxis: { title: { text: curve.unit || "dose" }, type: curve.log ? "log" : "linear" }, yaxis: { title: { text: "activation" } } });
      return host;
    });
    const cells = (heads, rows) => element("div", { class: "scroll" }, element("table", {},
      element("tr", {}, heads.map((each, i) => element("th", { class: i ? "" : "text" }, each))),
      rows.map((each) => element("tr", {}, each.map((cell, i) => element("td", { class: i ? "" : "text" }, cell))))));
    const range = (value, low, high, digits) => number(value, digits) + (known(low) ? ` (${number(low, digits)} to ${number(high, digits)})` : "");
    return element("div", { class: "causal" },
      element("h4", {}, "Causal tests"),
      row ? element("p", { class: "facts" }, `${row.verdict}.`) : null,
      curves.length ? element("div", { class: "pair" }, curves) : null,
      found.concepts.length ? cells(["concept", "IoU", "other recordings", "q", "random weights", "detector"],
        found.concepts.map((each) => [each.concept, number(each.iou), number(each.iou_null), small(each.q), number(each.random_weights), sign(each.detector)])) : null,
      found.ablated.length ? cells(["fill in its place", "output", "change of the output", "q", "metric", "its change", "q"],
        found.ablated.map((each) => [each.fill, each.label || each.target, range(each.change, each.low, each.high, 4), small(each.q), each.metric || "–", range(each.metric_change, each.metric_low, each.metric_high, 4), small(each.metric_q)])) : null);
  }

  async function reveal(name) {
    const made = await drawn(name), host = section.querySelector(".detail");
    if (!made) throw new actprobe.NotFound(`No causal test of this report has ${name}.`);
    host.replaceChildren(element("h3", { tabindex: "-1" }, name.replaceAll("/", " · ")), made);
    host.hidden = false;
    host.querySelector("h3").focus({ preventScroll: true });
    host.scrollIntoView({ block: "start" });
  }
  parts.set("causal", {
    async open(found) {
      await prepare();
      if (data.evidence.length && !table) tabulate();
      if ("tested" in found) await reveal(found.tested);
      else table?.draw();
    },
  });
  return { drawn };
})();
