// Inputs that excite a neuron, beside the best excerpt and the control: of the neuron's page and of a list.
"use strict";
actprobe.excited = (() => {
  const { load, unpack, element, number, picture } = actprobe;
  const holder = document.querySelector("[data-excited]");
  let list = null;

  async function neurons() {
    if (!holder) return [];
    list ??= await load(holder.dataset.excited);
    return list.neurons;
  }
  // Pictures of an excited neuron by its name, MODEL/LAYER/UNIT; null where it was not excited.
  async function drawn(name) {
    const entry = (await neurons()).find((each) => each.name === name);
    if (!entry) return null;
    const neuron = await load(entry.path), colours = unpack(list.colours);
    const figures = neuron.panels.map((panel) => {
      panel.decoded ??= unpack(panel.values);
      const shape = panel.values.shape, canvas = element("canvas", { width: shape[0], height: shape[1] });
      picture.paint(canvas, panel.decoded, shape, neuron.range, colours);
      return element("figure", {}, element("figcaption", {}, element("strong", {}, panel.title), ` · ${number(panel.value, 2)}`),
        picture.axes({ content: [canvas], ticks: neuron.ticks, start: neuron.start, end: neuron.end, ylabel: "frequency (Hz)" }),
        panel.sound ? element("audio", { controls: true, preload: "none", src: panel.sound, "aria-label": panel.title }) : null);
    });
    return element("div", { class: "excited" }, element("h4", {}, "What excites it most"),
      element("p", { class: "note" }, "Numbers are the neuron's value. The best excerpt is ", element("bdi", {}, neuron.best),
        ". The control was found by the same search in the network with random weights: what it shares with the excited input is due to the search."),
      element("div", { class: "spectrograms" }, figures));
  }
  return { neurons, drawn };
})();
