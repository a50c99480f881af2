"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const drawn = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");

  // Colours stand in the figures as names; the page's theme says what they are.
  const paint = (value, style) => {
    if (typeof value === "string") {
      const color = value[0] === "@" && style.getPropertyValue("--" + value.slice(1)).trim();
      return color || value;
    }
    if (Array.isArray(value)) {
      return typeof value[0] === "number" ? value : value.map((item) => paint(item, style));
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, paint(v, style)]));
    }
    return value;
  };

  const themed = (layout, style) => {
    const axis = {
      gridcolor: paint("@line", style), linecolor: paint("@line", style), zeroline: false,
      tickfont: { size: 11.5 }, automargin: true, fixedrange: narrow.matches,
    };
    const full = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5,
        color: paint("@muted", style) },
      margin: { l: narrow.matches ? 44 : 62, r: narrow.matches ? 10 : 18, t: 34, b: 34 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
      hoverlabel: { bgcolor: paint("@panel", style), bordercolor: paint("@line", style),
        font: { color: paint("@text", style), size: 12.5 } },
      dragmode: narrow.matches ? false : "zoom",
      ...layout,
    };
    for (const key of ["xaxis", "yaxis", "yaxis2"]) {
      if (key !== "yaxis2" || layout[key]) full[key] = { ...axis, ...(layout[key] || {}) };
      const title = full[key] && full[key].title;
      if (title) title.font = { size: 12 };
      if (narrow.matches && title && key !== "xaxis") full[key].title = undefined;
    }
    if (narrow.matches && layout.height) full.height = Math.min(layout.height, 450);
    return full;
  };

  const draw = (element) => {
    const figure = figures[element.dataset.figure];
    const style = getComputedStyle(document.documentElement);
    const config = { responsive: true, displaylogo: false, displayModeBar: false,
      doubleClick: "reset" };
    const layout = themed(paint(figure.layout, style), style);
    Plotly.react(element, paint(figure.data, style), layout, config);
    drawn.set(element, true);
  };

  // One figure at a time, so that the page can be read while the others are drawn.
  const waiting = [...document.querySelectorAll("[data-figure]")];
  waiting.forEach((element) => {
    element.style.minHeight = (figures[element.dataset.figure].layout.height || 300) * 0.8 + "px";
  });
  const next = () => {
    const element = waiting.shift();
    if (!element) return;
    if (!drawn.has(element)) draw(element);
    setTimeout(next, 0);
  };
  next();
  const redraw = () => { for (const element of drawn.keys()) draw(element); };
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  addEventListener("beforeprint", () =>
    document.querySelectorAll("[data-figure]").forEach((element) => draw(element)));

  document.querySelectorAll(".tabs").forEach((tabs) => {
    const place = document.getElementById(tabs.dataset.for);
    tabs.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      tabs.querySelectorAll("button").forEach((other) =>
        other.setAttribute("aria-selected", String(other === button)));
      place.dataset.figure = button.dataset.show;
      draw(place);
    });
  });

  document.querySelectorAll("th[data-sort]").forEach((head) => {
    head.addEventListener("click", () => {
      const table = head.closest("table"), body = table.tBodies[0];
      const down = head.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[head.cellIndex].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const one = key(a), two = key(b), number = parseFloat(one) - parseFloat(two);
        return Number.isNaN(number) ? one.localeCompare(two) : number;
      });
      if (down) rows.reverse();
      body.append(...rows);
    });
  });

  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) open();
  });
  open();
})();
