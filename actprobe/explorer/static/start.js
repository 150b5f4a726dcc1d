// The tabs, and what an address opens.
"use strict";
(() => {
  const { address, parts } = actprobe;
  const sections = [...document.querySelectorAll("main > section")];
  const owners = { neuron: "neurons", map: "maps", layer: "layers", excerpt: "inversion", attribution: "attribution", excited: "attribution", tested: "causal" };

  async function go() {
    const found = address();
    const owner = Object.keys(owners).find((name) => name in found);
    const wanted = owner ? owners[owner] : found.part ?? "overview";
    const section = sections.find((each) => each.id === wanted) ?? sections[0];
    for (const each of sections) each.hidden = each !== section;
    for (const tab of document.querySelectorAll("nav a")) {
      if (tab.getAttribute("href") === `#part=${section.id}`) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    const alert = document.querySelector("main > .alert");
    alert.hidden = true;
    try {
      await parts.get(section.id)?.open(found);
    } catch (error) {
      alert.textContent = error.message;
      alert.hidden = false;
      if (!(error instanceof actprobe.NotFound)) throw error;
    }
  }
  addEventListener("hashchange", go);
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea, audio") || event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = sections.filter((each) => document.querySelector(`nav a[href="#part=${each.id}"]`));
    const digit = Number(event.key);
    if (digit >= 1 && digit <= shown.length) location.hash = `#part=${shown[digit - 1].id}`;
    if (event.key === "/") {
      const search = sections.find((each) => !each.hidden)?.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  go();
})();
