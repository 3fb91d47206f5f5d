"use strict";

// Sorting: a click on the head of a column, or Enter, orders the rows by it, and again the other way round.
// The page says of each cell what its place is (data-place); a cell without one is missing, and comes last.

function place(row, column) {
  const told = row.cells[column].dataset.place;
  return told === undefined ? null : Number(told);
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
    // A new tab or window is what who holds a key has asked for.
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
