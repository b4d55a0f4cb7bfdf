// The card under an open row: what was asked, what was said, and the training rows beside it.
"use strict";
(() => {
  const data = document.getElementById("data-rows");
  const rows = JSON.parse(data.textContent);
  const CHUNK = 100;
  const chunks = new Map();

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const whole = (n) => Math.round(n).toLocaleString("en-US");
  const forms = {
    whole,
    two: (n) => n.toFixed(2),
    small: (n) => (n < 0.001 ? n.toExponential(0) : n.toFixed(n < 0.1 ? 3 : 2)),
    percent: (n) => `${(100 * n).toFixed(0)}\u00a0%`,
    samples: (n) => {
      if (n === Infinity) return "never";
      if (n <= 1) return "1";
      return n < 1e6 ? whole(Math.ceil(n)) : n.toExponential(0).replace("e+", "e");
    },
  };

  function evidenceOf(index) {
    const chunk = Math.floor(index / CHUNK);
    const block = document.getElementById(`data-evidence-${chunk}`);
    if (!block) return null;
    if (!chunks.has(chunk)) chunks.set(chunk, JSON.parse(block.textContent));
    return chunks.get(chunk)[index % CHUNK];
  }

  function cardOf(index, value) {
    const found = evidenceOf(index);
    const card = make("div", "card");
    card.append(numbersOf(index, value));
    if (!found) {
      card.append(make("div", "full muted", nothing(index)));
      return card;
    }
    if (found.prompt) {
      const prompt = make("div", "full");
      prompt.append(titled("What the model was given", found.prompt), wordsOf(found.prompt));
      if (found.how) prompt.append(make("p", "facts", found.how));
      card.append(prompt);
    }
    if (found.expected) {
      card.append(answerOf("The fine-tuned model said", found.tuned, "tuned"), answerOf("The base model said", found.base, "base"));
      const expected = make("div", "full");
      expected.append(titled("What the row says there", found.expected), wordsOf(found.expected));
      card.append(expected);
    }
    for (const pair of found.pairs) card.append(...pairOf(pair));
    card.append(keyOf(card));
    return card;
  }

  function nothing(index) {
    if (!rows.comes_back) return "The passages of this text are not in this file; they stand in matches.parquet of the run.";
    const does = rows.comes_back[index] ? "comes back" : "does not come back";
    return `The model was not asked about this row; that it ${does} is read from the model's own probabilities.`;
  }

  // The text on the left, the passages of training rows that it has words of on the right.
  function pairOf(pair) {
    const left = make("div", "side");
    left.append(titled(pair.title, pair), wordsOf(pair), factsOf(pair.facts));
    const right = make("div", "side sources");
    for (const source of pair.sources) {
      const passage = right.appendChild(make("div", "source"));
      passage.append(titled(source.title, source));
      if (source.size) passage.append(wordsOf(source));
      passage.append(factsOf(source.facts));
    }
    if (!pair.sources.length) right.append(make("p", "facts", "No passage of a training row stands out from chance."));
    return [left, right];
  }

  function factsOf(facts) {
    const list = make("ul", "facts");
    for (const fact of facts) list.append(make("li", "", fact));
    return list;
  }

  function numbersOf(index, value) {
    const line = make("div", "more");
    const say = (label, key, form) => {
      const found = key in rows ? value(key, index) : null;
      if (found !== null) line.append(make("span", "", `${label} ${form(found)}`));
    };
    line.append(make("span", "", rows.id[index]));
    say("longest run", "longest_run", (n) => `${forms.whole(n)} tokens`);
    say("extraction strength", "strength", forms.two);
    say("samples to see it", "queries", forms.samples);
    say("best log-probability", "log_p", (n) => n.toFixed(2).replace("-0.00", "0.00"));
    say("p", "p_value", forms.small);
    say("q", "q_value", forms.small);
    say("near duplicates", "near", forms.whole);
    return line;
  }

  function titled(title, { size }) {
    const head = make("h4");
    head.append(make("b", "", title), size ? ` (${size})` : "");
    return head;
  }

  function answerOf(title, said, who) {
    const side = make("div", `answer ${who}`);
    if (!said) {
      side.append(titled(title, { size: "not asked" }));
      return side;
    }
    side.append(titled(title, said), wordsOf(said), factsOf(said.facts));
    return side;
  }

  // A piece is [kind, text] when training text is revealed and [kind, lengths of its words] when it is hidden; where
  // one of several matches begins, its number comes third.
  function wordsOf(said) {
    const hidden = said.before !== undefined;
    const words = make(hidden ? "div" : "p", hidden ? "words bars" : "words");
    if (hidden) {
      words.setAttribute("role", "img");
      words.setAttribute("aria-label", `hidden text, ${said.size}`);
      if (said.before) words.append(make("span", "muted", `… ${forms.whole(said.before)} words before `));
    } else {
      words.dir = "auto";
    }
    for (const [kind, piece, number] of said.pieces) {
      const part = words.appendChild(make("mark", kind));
      if (number) part.dataset.number = number;
      if (!hidden) part.textContent = piece;
      else for (const length of piece) part.appendChild(make("i")).style.width = `${length}ch`;
    }
    return words;
  }

  function keyOf(card) {
    const line = make("div", card.querySelector(".bars") ? "more hidden-text" : "more");
    const row = rows.comes_back ? "the rest of this row" : "the training row it was asked about";
    const names = {
      own: `shared with ${row}`, both: "shared with that row and another", other: `shared with ${rows.comes_back ? "another" : "a"} training row`,
      corpus: "shared with another training row", passage: "in the match, but not in the row",
      copied: "stood in the prompt already",
    };
    for (const kind of Object.keys(names)) {
      if (!card.querySelector(`mark.${kind}`) || (kind === "corpus" && card.querySelector("mark.other"))) continue;
      const key = line.appendChild(make("span"));
      key.append(make("i", `key key-${kind}`), names[kind]);
    }
    return line;
  }

  window.remanence = { make, forms, cardOf, rows };
})();
