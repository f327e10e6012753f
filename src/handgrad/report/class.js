"use strict";
// Sorts tables by a click on a heading, and filters the table of students.
(() => {
  const keyOf = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();

  const compare = (left, right) => {
    if (left === "" || right === "") return (left === "") - (right === "");
    const difference = Number(left) - Number(right);
    return Number.isNaN(difference) ? left.localeCompare(right, undefined, { numeric: true }) : difference;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
        // rows without a value stay at the end, in either direction
        rows.sort(([left], [right]) => (left === "" || right === "" ? 1 : sign) * compare(left, right));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  const filters = document.querySelector(".filters");
  if (!filters) return;
  const [words, which] = [filters.querySelector("input"), filters.querySelector("select")];
  const shown = filters.querySelector("output");
  const rows = [...document.querySelector("#students").tBodies[0].rows];
  // letters without their accents: a search for cafe finds café
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  let texts = null;
  const show = () => {
    // the texts of a large class are collected for the first search, not when the page opens
    texts ??= rows.map((row) => plain(row.textContent));
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, place) => {
      const is = ` ${row.dataset.is} `;
      const fits = is.includes(` ${which.value} `) && wanted.every((word) => texts[place].includes(word));
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = `${count} of ${rows.length} shown`;
  };
  words.addEventListener("input", show);
  which.addEventListener("change", show);
  shown.textContent = `${rows.length} of ${rows.length} shown`;
  filters.hidden = false;
})();
