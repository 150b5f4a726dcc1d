// A picture of something over time and frequency, with its axes. Axes are HTML, so that they stay sharp at any width.
"use strict";
actprobe.picture = (() => {
  const { element } = actprobe;

  // content: a canvas, an image or a drawing; ticks: [place from 0 at the bottom to 1, label].
  function axes({ content, ticks, start, end, ylabel }) {
    const plot = element("div", { class: "plotted" }, content);
    const left = element("div", { class: "yticks", "aria-hidden": "true" }, ticks.map(([place, label]) => {
      const tick = element("span", {}, label);
      tick.style.bottom = `${100 * place}%`;
      return tick;
    }));
    const below = element("div", { class: "xticks", "aria-hidden": "true" }, times(start, end).map((seconds) => {
      const tick = element("span", {}, String(Number(seconds.toFixed(3))));
      tick.style.left = `${100 * (seconds - start) / (end - start)}%`;
      return tick;
    }));
    return element("div", { class: "picture" }, element("div", { class: "ylabel" }, ylabel), left, plot, below, element("div", { class: "xlabel" }, "time (s)"));
  }
  function times(start, end) {
    const rough = (end - start) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const found = [];
    for (let k = Math.ceil(start / step); k * step <= end; k++) found.push(k * step);
    return found;
  }
  // values [columns][rows], the lowest row first.
  function paint(canvas, values, [columns, rows], [low, high], colours) {
    const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
    const span = high > low ? high - low : 1;
    for (let x = 0; x < columns; x++) for (let row = 0; row < rows; row++) {
      const level = Math.max(0, Math.min(255, Math.round((values[x * rows + row] - low) / span * 255)));
      image.data.set([colours[3 * level], colours[3 * level + 1], colours[3 * level + 2], 255], 4 * ((rows - 1 - row) * columns + x));
    }
    context.putImageData(image, 0, 0);
  }
  // A line over pictures goes along with the sound.
  function follow(player, heads) {
    const move = () => {
      if (!player.isConnected) return;
      const part = player.duration ? player.currentTime / player.duration : 0;
      for (const head of heads) { head.style.left = `${100 * part}%`; head.hidden = !part; }
      if (!player.paused) requestAnimationFrame(move);
    };
    player.addEventListener("play", move);
    player.addEventListener("seeked", move);
  }
  // Another sound from the current position; it plays if one was playing, or if it is to start.
  function change(player, sound, start) {
    const at = player.currentTime || 0, going = start || !player.paused;
    player.addEventListener("loadedmetadata", () => {
      player.currentTime = at < player.duration - 0.05 ? at : 0;
      if (going) player.play().catch(() => {});  // a newer choice may interrupt it
    }, { once: true });
    player.src = sound;
  }
  return { axes, paint, follow, change };
})();
