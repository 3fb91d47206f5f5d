"use strict";

// Sorting: a click on a column's head, or Enter, orders the rows by it, and again the other way round.
// Each cell has its place in data-place; a cell without one is missing, and comes last.

function place(row, column) {
  const rank = row.cells[column].dataset.place;
  return rank === undefined ? null : Number(rank);
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const descending = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => {
    const [first, second] = [place(one, column), place(other, column)];
    if (first === null || second === null) return (first === null) - (second === null);
    return descending ? second - first : first - second;
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.append(button);
  });
}

// Folded parts: a link opens what it leads into, and on paper nothing is folded.

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  let part = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
  for (; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
});
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});

// Enlarging: a chart opens over the page; Esc, the button or a click beside it closes it again.
// Without this script the link leads to the drawing that lies beside the page.

const dialog = document.createElement("dialog");
const closing = document.createElement("button");
const around = document.createElement("div");
const picture = document.createElement("img");
closing.type = "button";
closing.textContent = "Close";
closing.addEventListener("click", () => dialog.close());
around.tabIndex = 0;
around.append(picture);
dialog.append(closing, around);
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
document.body.append(dialog);

for (const link of document.querySelectorAll("a.enlarge")) {
  link.setAttribute("aria-haspopup", "dialog");
  link.addEventListener("click", (event) => {
    // With a key held down, a link opens a new tab or window.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const shown = link.querySelector("img");
    picture.src = shown.src;
    picture.alt = shown.alt;
    dialog.setAttribute("aria-label", shown.alt);
    dialog.showModal();
    around.scrollTo(0, 0);
  });
}
