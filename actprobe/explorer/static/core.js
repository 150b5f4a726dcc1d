// Data that is loaded when needed, addresses, and small tools shared by all parts of the page.
"use strict";
window.actprobe = (() => {
  const waiting = new Map(), loaded = new Map();

  // A page opened from a file may load scripts but not fetch files: data are scripts that call provide.
  function load(path) {
    if (loaded.has(path)) return loaded.get(path);
    const promise = new Promise((resolve, reject) => {
      waiting.set(path, resolve);
      const script = document.createElement("script");
      script.src = path;
      script.onerror = () => reject(new Error(`${path} is missing from the report's folder`));
      document.head.append(script);
    });
    loaded.set(path, promise);
    return promise;
  }
  function provide(path, value) {
    waiting.get(path)?.(value);
    waiting.delete(path);
  }

  const TYPES = { float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array };
  function unpack(packed) {
    const text = atob(packed.base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new TYPES[packed.dtype](bytes.buffer);
  }

  // An address is #name=value&name=value; values may hold slashes.
  function address() {
    const found = {};
    for (const part of location.hash.replace(/^#/, "").split("&")) {
      const at = part.indexOf("=");
      if (at > 0) {
        try { found[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1)); } catch { /* not an address of ours */ }
      }
    }
    return found;
  }
  function link(entries) {
    const safe = (value) => encodeURIComponent(value).replaceAll("%2F", "/");
    return "#" + Object.entries(entries).map(([name, value]) => `${name}=${safe(value)}`).join("&");
  }

  class NotFound extends Error {}  // of addresses that name nothing in this report

  // Opens an address, also the one that is open already.
  function visit(entries) {
    const wanted = link(entries);
    if (location.hash === wanted) dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = wanted;
  }

  // Text always enters as text, never as HTML: names of recordings and tags are anybody's.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "dataset") Object.assign(made.dataset, value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) made.append(child);
    return made;
  }
  const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
  function number(value, digits = 3) {
    return known(value) ? value.toFixed(digits) : "–";
  }
  function small(value) {
    if (!known(value)) return "–";
    return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3);
  }
  function time(seconds) {
    if (!known(seconds)) return "–";
    const minutes = Math.floor(seconds / 60);
    return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
  }

  // The runs of a part, with their tables unpacked; one is chosen from a list.
  async function open(section, choose) {
    const runs = await Promise.all(section.dataset.runs.split(" ").map(load));
    for (const each of runs) each.columns = Object.fromEntries(Object.entries(each.table).map(([name, packed]) => [name, unpack(packed)]));
    const pick = section.querySelector("[name=run]");
    pick.replaceChildren(...runs.map((each, i) => element("option", { value: i }, each.title)));
    pick.parentElement.hidden = runs.length < 2;
    pick.onchange = () => choose(Number(pick.value));
    return runs;
  }
  function fill(select, all, names) {
    select.replaceChildren(element("option", { value: "" }, all), ...names.map((each, i) => element("option", { value: i }, each)));
  }

  // One sound at a time.
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);

  const parts = new Map();
  return { load, provide, unpack, open, fill, address, link, visit, NotFound, element, known, number, small, time, parts };
})();
