// The network as a column of layers; an address brings one into view.
"use strict";
(() => {
  const { parts, NotFound } = actprobe;
  if (!document.getElementById("layers")) return;
  parts.set("layers", {
    open(found) {
      if (!("layer" in found)) return;
      const item = document.getElementById(`layer=${found.layer}`);
      if (!item) throw new NotFound(`The report has no layer ${found.layer}.`);
      item.scrollIntoView({ block: "center" });
      item.focus({ preventScroll: true });
    },
  });
})();
