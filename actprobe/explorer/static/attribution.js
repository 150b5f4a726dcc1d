// Attributions over the pictures of their input, with sounds; and scores beside their controls.
"use strict";
(() => {
  const { load, unpack, visit, NotFound, element, known, number, parts, picture, excited } = actprobe;
  const section = document.getElementById("attribution");
  if (!section) return;
  let data = null, colours = null, signed = null, chosen = null, play = () => {};
  const control = (name) => section.querySelector(`[name=${name}]`);

  async function prepare() {
    if (data) return;
    data = await load(section.dataset.runs);
    colours = unpack(data.colours);
    signed = unpack(data.signed);
    if (data.scores.length) prepareScores();
    if (control("excited")) {
      control("excited").replaceChildren(...(await excited.neurons()).map((each) => element("option", { value: each.name }, each.name)));
      control("excited").addEventListener("input", () => visit({ excited: control("excited").value }));
      await excite(control("excited").value);
    }
    if (!data.passages.length) return;
    control("passage").replaceChildren(...data.passages.map((each, i) => element("option", { value: i }, each.title)));
    control("passage").addEventListener("input", () => visit({ attribution: data.passages[control("passage").value].name }));
    control("under").addEventListener("input", () => show(chosen));
    control("repeat").addEventListener("input", () => { const player = section.querySelector("audio"); if (player) player.loop = control("repeat").checked; });
  }
  function drawn(panel, input, under) {
    const shape = panel.values.shape, canvas = element("canvas", { width: shape[0], height: shape[1] });
    if (panel === input) {
      const values = panel.decoded, ends = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
      picture.paint(canvas, values, shape, ends, colours);
      return [canvas];
    }
    picture.paint(canvas, panel.decoded, shape, [-1, 1], signed);
    if (!under) return [canvas];
    const [below] = drawn(input, input, false);
    below.className = "under";
    canvas.className = "over";
    return [below, canvas];
  }
  async function show(place) {
    const passage = await load(data.passages[place].path);
    chosen = place;
    control("passage").value = place;
    const panels = passage.panels, input = panels[0];
    for (const panel of panels) if (panel.values) panel.decoded ??= unpack(panel.values);
    const player = element("audio", { controls: true, "aria-label": `Sound of ${passage.title}` });
    player.loop = control("repeat").checked;
    const heads = [], buttons = [];
    const figures = panels.map((panel, i) => {
      const shares = Object.entries(panel.shares).filter(([, share]) => known(share)).map(([part, share]) => `${number(100 * share, 0)} % on ${part}`);
      const head = element("span", { class: "playhead" });
      heads.push(head);
      const content = panel.values ? picture.axes({ content: [...drawn(panel, input, control("under").checked), head], ticks: passage.ticks, start: passage.start, end: passage.end, ylabel: "frequency (Hz)" }) : element("span", {}, "play");
      const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `Play ${panel.name}`, onclick: () => play(i, true) }, content);
      buttons.push(button);
      return element("figure", {}, element("figcaption", {}, element("strong", {}, panel.name), shares.length ? ` · ${shares.join(", ")}` : ""), button);
    });
    const playing = element("span", { class: "playing", role: "status" });
    play = (i, start) => {
      buttons.forEach((each, k) => each.setAttribute("aria-pressed", String(k === i)));
      playing.textContent = i === 0 ? "the recording" : `what speaks for the target by ${panels[i].name}`;
      if (!panels[i].sound) { player.removeAttribute("src"); player.load(); playing.textContent += ": no sound in this report"; return; }
      picture.change(player, panels[i].sound, start);
    };
    picture.follow(player, heads);
    section.querySelector(".player").replaceChildren(player, element("span", {}, "sound: ", playing));
    section.querySelector(".output").textContent = known(passage.output) ? `Output, mean over the excerpts shown: ${number(passage.output, 3)}` : "";
    section.querySelector(".passage").replaceChildren(...(passage.figure ? [element("img", { src: passage.figure, alt: passage.title, class: "whole" })] : []), ...figures);
    play(0, false);
  }

  async function openPassage(found) {
    const place = "attribution" in found ? data.passages.findIndex((each) => each.name === found.attribution) : chosen ?? 0;
    if (place >= 0 && place !== chosen) await show(place);
    if (place >= 0) return;
    if (chosen === null) await show(0);
    throw new NotFound(`The report has no attribution ${found.attribution}.`);
  }
  async function excite(name) {
    const made = await excited.drawn(name);
    if (!made) throw new NotFound(`The report has no excited neuron ${name}.`);
    control("excited").value = name;
    section.querySelector(".excitation").replaceChildren(made);
  }

  function prepareScores() {
    control("run").replaceChildren(...data.scores.map((each, i) => element("option", { value: i }, each.title)));
    control("run").parentElement.hidden = data.scores.length < 2;
    const metrics = () => {
      const run = data.scores[control("run").value];
      control("metric").replaceChildren(...run.metrics.map((each) => element("option", { value: each }, each.replaceAll("_", " "))));
      if (run.metrics.includes("truth_auc")) control("metric").value = "truth_auc";
      drawScores();
    };
    control("run").addEventListener("input", metrics);
    control("metric").addEventListener("input", drawScores);
    metrics();
  }
  function drawScores() {
    const run = data.scores[control("run").value], metric = control("metric").value;
    const rows = run.rows.filter((row) => row.metric === metric);
    section.querySelector(".scores").replaceChildren(
      element("tr", {}, ["method", "fill"].map((each) => element("th", { class: "text" }, each)), ["recordings", "value", "random", "input magnitude", "random weights"].map((each) => element("th", {}, each))),
      ...rows.map((row) => element("tr", {}, element("td", { class: "text" }, row.method), element("td", { class: "text" }, (row.fill ?? "").replaceAll("_", " ")), element("td", {}, String(row.n)),
        element("td", {}, number(row.value) + (known(row.low) ? ` (${number(row.low)} to ${number(row.high)})` : "")),
        ["random", "input_magnitude", "random_weights"].map((each) => element("td", {}, number(row[each]))))));
  }
  parts.set("attribution", {
    async open(found) {
      await prepare();
      if (data.passages.length) await openPassage(found);
      else if ("attribution" in found) throw new NotFound("The report has no attributions.");
      if (!("excited" in found)) return;
      if (!control("excited")) throw new NotFound("The report has no excited neurons.");
      await excite(found.excited);
      section.querySelector(".excitation").scrollIntoView({ block: "start" });
    },
  });
})();
