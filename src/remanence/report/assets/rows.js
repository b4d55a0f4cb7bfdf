// The ranking: sorted, filtered and paged in memory; text enters the page by textContent only.
"use strict";
(() => {
  const table = document.getElementById("ranking");
  if (!table) return;
  const PAGE = 50;
  const CHUNK = 100;
  const rows = JSON.parse(document.getElementById("data-rows").textContent);
  const chunks = new Map();
  const get = (id) => document.getElementById(id);
  const body = table.tBodies[0];
  const numRows = rows.rank.length;
  let order = rows.rank.map((_, index) => index);
  let sort = { key: "rank", ascending: true };
  let page = 0;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const whole = (n) => n.toLocaleString("en-US");
  const short = (n) => (n < 0.001 ? n.toExponential(0) : n.toFixed(n < 0.1 ? 3 : 2));
  const samples = (n) => {
    if (n === Infinity) return "never";
    if (n <= 1) return "1";
    return n < 1e6 ? whole(Math.ceil(n)) : n.toExponential(0).replace("e+", "e");
  };
  const shown = {
    rank: whole, longest_run: whole, strength: (n) => n.toFixed(2), queries: samples, q_value: short,
    copies: whole, near: whole, num_supervised: whole,
  };
  const value = (key, index) => {
    const found = rows[key][index];
    return found === "inf" ? Infinity : found;
  };

  function arrange() {
    const words = get("search").value.trim().toLowerCase();
    const only = get("only").checked;
    const copies = Number(get("copies").value) || 0;
    order = [];
    for (let index = 0; index < numRows; index++) {
      if (only && !rows.comes_back[index]) continue;
      if (copies && !(rows.copies[index] >= copies)) continue;
      if (words && !rows.id[index].toLowerCase().includes(words)) continue;
      order.push(index);
    }
    const sign = sort.ascending ? 1 : -1;
    order.sort((a, b) => {
      const [x, y] = [value(sort.key, a), value(sort.key, b)];
      if (x === y || (x === null && y === null)) return a - b;
      if (x === null) return 1; // what was not measured stands last in either direction
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
    get("shown").textContent = `${whole(order.length)} of ${whole(numRows)} rows`;
    get("page").textContent = here.length ? `${whole(first + 1)} to ${whole(first + here.length)}` : "no row";
    get("prev").disabled = page === 0;
    get("next").disabled = first + PAGE >= order.length;
  }

  function rowOf(index) {
    const row = make("tr", "row");
    row.dataset.index = index;
    for (const head of table.tHead.rows[0].cells) {
      const key = head.firstElementChild.dataset.key;
      const cell = row.appendChild(make("td", head.className));
      if (key === "id") {
        cell.classList.add("id");
        const button = cell.appendChild(make("button", "", rows.id[index]));
        button.type = "button";
        button.title = rows.id[index];
        button.setAttribute("aria-expanded", "false");
      } else if (key === "shortest_prefix") {
        const prefix = rows.shortest_prefix[index];
        const back = prefix === null ? "yes" : `${whole(prefix)} tokens`;
        cell.append(rows.comes_back[index] ? make("span", "back", back) : make("span", "muted", "–"));
      } else {
        const found = value(key, index);
        cell.textContent = found === null ? "–" : shown[key](found);
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
    cell.colSpan = table.tHead.rows[0].cells.length;
    cell.append(evidenceOf(Number(row.dataset.index)));
    row.after(under);
  }

  function evidenceOf(index) {
    const chunk = Math.floor(index / CHUNK);
    if (!chunks.has(chunk)) chunks.set(chunk, JSON.parse(get(`data-evidence-${chunk}`).textContent));
    const found = chunks.get(chunk)[index % CHUNK];
    const card = make("div", "card");
    card.append(numbersOf(index));
    if (!found) {
      card.append(make("div", "full muted", rows.comes_back[index]
        ? "The model was not asked about this row; that it comes back is read from the model's own probabilities."
        : "The model was not asked about this row; that it does not come back is read from the model's own probabilities."));
      return card;
    }
    const prompt = make("div", "full");
    prompt.append(titled("What the model was given", found.prompt.size), wordsOf(found.prompt), make("p", "facts", found.how));
    card.append(prompt, answerOf("The fine-tuned model said", found.tuned, "tuned"), answerOf("The base model said", found.base, "base"));
    const expected = make("div", "full");
    expected.append(titled("What the row says there", found.expected.size), wordsOf(found.expected));
    card.append(expected, keyOf(found));
    return card;
  }

  function numbersOf(index) {
    const line = make("div", "more");
    const say = (label, key, form) => {
      const found = value(key, index);
      if (found !== null) line.append(make("span", "", `${label} ${form(found)}`));
    };
    line.append(make("span", "", rows.id[index]));
    say("longest run", "longest_run", (n) => `${whole(n)} tokens`);
    say("extraction strength", "strength", (n) => n.toFixed(2));
    say("samples to see it", "queries", samples);
    say("best log-probability", "log_p", (n) => n.toFixed(2).replace("-0.00", "0.00"));
    say("p", "p_value", short);
    say("q", "q_value", short);
    say("near duplicates", "near", whole);
    return line;
  }

  function titled(title, size) {
    const head = make("h4");
    head.append(make("b", "", title), ` (${size})`);
    return head;
  }

  function answerOf(title, said, who) {
    const side = make("div", `answer ${who}`);
    if (!said) {
      side.append(titled(title, "not asked"));
      return side;
    }
    const facts = make("ul", "facts");
    for (const fact of said.facts) facts.append(make("li", "", fact));
    side.append(titled(title, said.size), wordsOf(said), facts);
    return side;
  }

  // A piece is [kind, text] when training text is revealed and [kind, lengths of its words] when it is hidden.
  function wordsOf(said) {
    const hidden = said.before !== undefined;
    const words = make(hidden ? "div" : "p", hidden ? "words bars" : "words");
    if (hidden) {
      words.setAttribute("role", "img");
      words.setAttribute("aria-label", `hidden text, ${said.size}`);
      if (said.before) words.append(make("span", "muted", `… ${whole(said.before)} words before `));
    } else {
      words.dir = "auto";
    }
    for (const [kind, piece] of said.pieces) {
      const part = words.appendChild(make("mark", kind));
      if (!hidden) part.textContent = piece;
      else for (const length of piece) part.appendChild(make("i")).style.width = `${length}ch`;
    }
    return words;
  }

  function keyOf(found) {
    const hidden = found.prompt.before !== undefined;
    const line = make("div", hidden ? "more hidden-text" : "more");
    const names = {
      own: "shared with the rest of this row", corpus: "shared with another training row",
      copied: "stood in the prompt already",
    };
    const pieces = [found.tuned, found.base].flatMap((said) => (said ? said.pieces : []));
    for (const kind of Object.keys(names)) {
      if (!pieces.some((piece) => piece[0] === kind)) continue;
      const key = line.appendChild(make("span"));
      key.append(make("i", `key-${kind}`), names[kind]);
    }
    return line;
  }

  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const same = sort.key === button.dataset.key;
    sort = { key: button.dataset.key, ascending: same ? !sort.ascending : button.dataset.first === "asc" };
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", sort.ascending ? "ascending" : "descending");
    arrange();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr.row");
    if (row && !String(getSelection())) toggle(row);
  });
  for (const id of ["search", "only", "copies"]) get(id).addEventListener("input", arrange);
  const turn = (step) => () => {
    page += step;
    draw();
    table.scrollIntoView();
  };
  get("prev").addEventListener("click", turn(-1));
  get("next").addEventListener("click", turn(1));
  arrange();
  if (body.rows.length) toggle(body.rows[0]); // the worst row stands open, so that one sees what a click does
})();
