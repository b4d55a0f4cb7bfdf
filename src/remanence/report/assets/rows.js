// The table of rows or texts: sorted, filtered and paged in memory; text enters the page by textContent only.
"use strict";
(() => {
  const table = document.getElementById("ranking");
  if (!table) return;
  const PAGE = 50;
  const { make, forms, cardOf, rows } = window.remanence;
  const get = (id) => document.getElementById(id);
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const filters = [...document.querySelectorAll("[data-filter]")];
  const { noun } = table.dataset;
  const numRows = rows.rank.length;
  let order = [];
  let sort = { key: "rank", ascending: true };
  let page = 0;

  const value = (key, index) => (rows[key][index] === "inf" ? Infinity : rows[key][index]);

  // Filter conditions; a filter is applied only if it has a value.
  const decide = {
    contains: (found, words) => String(found ?? "").toLowerCase().includes(words.trim().toLowerCase()),
    equals: (found, word) => found === word,
    least: (found, number) => found !== null && found >= Number(number),
    true: Boolean,
  };

  function arrange() {
    const set = filters
      .map((input) => ({ input, given: input.type === "checkbox" ? input.checked && "on" : input.value }))
      .filter(({ given }) => given);
    order = rows.rank.map((_, index) => index).filter((index) => set.every(({ input, given }) =>
      input.dataset.filter.split(" ").some((key) => decide[input.dataset.how](value(key, index), given))));
    const sign = sort.ascending ? 1 : -1;
    order.sort((a, b) => {
      const [x, y] = [value(sort.key, a), value(sort.key, b)];
      if (x === y || (x === null && y === null)) return a - b;
      if (x === null) return 1; // values that were not measured are last in both directions
      if (y === null) return -1;
      return x < y ? -sign : sign;
    });
    page = 0;
    draw();
  }

  function draw() {
    const first = page * PAGE;
    const here = order.slice(first, first + PAGE);
    body.replaceChildren(...here.map(rowOf));
    get("shown").textContent = `${forms.whole(order.length)} of ${forms.whole(numRows)} ${noun}s`;
    get("page").textContent = here.length ? `${forms.whole(first + 1)} to ${forms.whole(first + here.length)}` : `no ${noun}`;
    get("prev").disabled = page === 0;
    get("next").disabled = first + PAGE >= order.length;
  }

  function rowOf(index) {
    const row = make("tr", "row");
    row.dataset.index = index;
    for (const head of heads) {
      const { key, form } = head.firstElementChild.dataset;
      const cell = row.appendChild(make("td", head.className));
      const found = value(key, index);
      if (form === "id") {
        cell.classList.add("id");
        const button = cell.appendChild(make("button", "", found));
        button.type = "button";
        button.title = found;
        button.setAttribute("aria-expanded", "false");
      } else if (form === "back") {
        const back = found === null ? "yes" : `${forms.whole(found)} tokens`;
        cell.append(rows.comes_back[index] ? make("span", "back", back) : make("span", "muted", "–"));
      } else if (form === "found") {
        cell.append(make("span", ["none", "not measurable"].includes(found) ? "muted" : "back", found));
      } else if (form === "name") {
        cell.classList.add("name");
        const more = found !== null && rows.rows[index] > 1 ? ` and ${rows.rows[index] - 1} more` : "";
        cell.append(found === null ? make("span", "muted", "–") : make("code", "", found), more);
      } else {
        cell.textContent = found === null ? "–" : forms[form](found);
      }
    }
    return row;
  }

  function toggle(row) {
    const open = row.classList.toggle("open");
    row.querySelector(".id button").setAttribute("aria-expanded", String(open));
    if (!open) return row.nextElementSibling.remove();
    const under = make("tr");
    const cell = under.appendChild(make("td", "evidence"));
    cell.colSpan = heads.length;
    cell.append(cardOf(Number(row.dataset.index), value));
    row.after(under);
  }

  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const same = sort.key === button.dataset.key;
    sort = { key: button.dataset.key, ascending: same ? !sort.ascending : button.dataset.first === "asc" };
    for (const head of heads) head.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", sort.ascending ? "ascending" : "descending");
    arrange();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr.row");
    if (row && !String(getSelection())) toggle(row);
  });
  for (const input of filters) input.addEventListener("input", arrange);
  const turn = (step) => () => {
    page += step;
    draw();
    table.scrollIntoView();
  };
  get("prev").addEventListener("click", turn(-1));
  get("next").addEventListener("click", turn(1));
  arrange();
  if (body.rows.length) toggle(body.rows[0]); // open the worst row, to show what a click does
})();
