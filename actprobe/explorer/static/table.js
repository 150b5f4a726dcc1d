// A table of many thousand rows: only those in view are in the page. Arrow keys move, Enter opens.
"use strict";
actprobe.table = function ({ host, columns, count, open, label }) {
  const { element } = actprobe;
  const ROW = 30;
  let order = [], sorted = { column: null, falling: true }, current = 0;
  const head = element("div", { class: "row head", role: "row" });
  const body = element("div", { class: "rows", role: "rowgroup" });
  const spacer = element("div", { class: "spacer" });
  const view = element("div", { class: "view", tabindex: "0", role: "grid", "aria-label": label }, head, spacer);
  spacer.append(body);
  host.replaceChildren(view);
  const template = columns.map((column) => column.width).join(" ");
  head.style.gridTemplateColumns = template;
  const buttons = columns.map((column) => {
    const button = element("button", { type: "button", title: column.title, tabindex: "-1",
      onclick: () => sort(column, sorted.column === column ? !sorted.falling : column.falling !== false) }, column.name);
    head.append(element("div", { role: "columnheader", class: column.text ? "text" : "" }, button));
    return button;
  });

  function sort(column, falling) {
    sorted = { column, falling };
    arrange();
    draw();
    columns.forEach((each, i) => {
      const state = each === column ? (falling ? "descending" : "ascending") : "none";
      buttons[i].parentElement.setAttribute("aria-sort", state);
    });
  }
  function arrange() {
    const { column, falling } = sorted;
    if (!column) return;
    const missing = (value) => value === null || value === undefined || Number.isNaN(value);
    const key = column.key;
    order.sort((a, b) => {
      const x = key(a), y = key(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;  // the unknown come last
      const way = x < y ? -1 : x > y ? 1 : 0;
      return (falling ? -way : way) || a - b;
    });
  }
  function show(rows) {
    order = Array.from(rows);
    current = 0;
    arrange();
    view.scrollTop = 0;
    draw();
  }
  function draw() {
    view.setAttribute("aria-rowcount", order.length + 1);
    spacer.style.height = `${Math.max(1, order.length) * ROW}px`;
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 8);
    const last = Math.min(order.length, first + Math.ceil((view.clientHeight || 400) / ROW) + 16);
    body.style.transform = `translateY(${first * ROW}px)`;
    const rows = [];
    for (let place = first; place < last; place++) {
      const row = order[place];
      const line = element("div", { class: "row" + (place === current ? " current" : ""), role: "row", "aria-rowindex": place + 2,
        "aria-selected": place === current, dataset: { row }, onclick: () => { current = place; draw(); open(row); } });
      line.style.gridTemplateColumns = template;
      for (const column of columns)
        line.append(element("div", { role: "gridcell", class: column.text ? "text" : "" }, column.show(row)));
      rows.push(line);
    }
    if (!order.length) rows.push(element("div", { class: "row none" }, "Nothing fits the filter."));
    body.replaceChildren(...rows);
  }
  view.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(view);
  view.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(view.clientHeight / ROW) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" && order.length) { event.preventDefault(); open(order[current]); return; }
    if (!(event.key in moves)) return;
    event.preventDefault();
    current = Math.min(order.length - 1, Math.max(0, current + moves[event.key]));
    const top = current * ROW;
    if (top < view.scrollTop) view.scrollTop = top;
    if (top > view.scrollTop + view.clientHeight - 3 * ROW) view.scrollTop = top - view.clientHeight + 3 * ROW;
    draw();
  });
  const start = columns.find((column) => column.first) ?? null;
  order = Array.from({ length: count }, (_, i) => i);
  if (start) sort(start, true); else draw();
  return { show, draw, view, rows: () => order };
};
