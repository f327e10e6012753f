"use strict";
// Sorts tables by a click on a heading, and shows the students who are looked for.
(() => {
  const keyOf = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();

  const compare = (one, other) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    const difference = Number(one) - Number(other);
    return Number.isNaN(difference) ? one.localeCompare(other, undefined, { numeric: true }) : difference;
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
        headings.forEach((one) => one.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
        // what has no value stays at the end, whichever way round
        rows.sort(([one], [other]) => (one === "" || other === "" ? 1 : sign) * compare(one, other));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  const filters = document.querySelector(".filters");
  if (!filters) return;
  const [words, which] = [filters.querySelector("input"), filters.querySelector("select")];
  const shown = filters.querySelector("output");
  const rows = [...document.querySelector("#students").tBodies[0].rows];
  let texts = null;
  const show = () => {
    // a large class is read through when somebody looks for words, not when the page opens
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
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
