// The page asks without being loaded anew. Without this file it asks all the same, as a form.
// Texts of passages become text nodes and nothing else. What is shown is made as dpr/serve/view.py
// makes it; a test holds both to each other.

/** The place of a character (a code point) in a string, which counts UTF-16 code units. */
export function unit(text, points, from = 0) {
  let at = from;
  for (; points > 0 && at < text.length; points--) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return points > 0 ? -1 : at;
}

/** The text, cut at offsets in code points: [[text, ""|"best"|"other"], ...]. */
export function pieces(text, spans) {
  const taken = [];
  for (const { start, end, best } of spans) {
    const fits = start >= 0 && start < end && unit(text, end) >= 0;
    if (fits && taken.every((one) => end <= one.start || one.end <= start)) taken.push({ start, end, best });
  }
  const found = [];
  let at = 0, points = 0;
  for (const { start, end, best } of taken.sort((a, b) => a.start - b.start)) {
    const first = unit(text, start - points, at), last = unit(text, end - start, first);
    found.push([text.slice(at, first), ""], [text.slice(first, last), best ? "best" : "other"]);
    [at, points] = [last, end];
  }
  found.push([text.slice(at), ""]);
  return found.filter(([part]) => part);
}

/** Conditions with ; between; what follows a backslash is plain. */
export function conditions(text) {
  return (text.match(/(?:\\.?|[^;\\])+/g) ?? []).filter((one) => one.trim());
}

const apart = (text) => `\u2068${text}\u2069`; // of whichever direction
const percent = (share) => `${Math.floor(100 * share + 0.5)}%`;
const HOW = { dense: "by vectors", bm25: "by words", hybrid: "by vectors and words" };

function retriever(hit) {
  const parts = [["vectors", hit.dense_score, hit.dense_rank], ["words", hit.bm25_score, hit.bm25_rank]]
    .filter(([, score]) => score !== null)
    .map(([by, score, rank]) => `by ${by} ${score.toFixed(3)}${rank === null ? "" : `, place ${rank}`}`);
  return hit.score.toFixed(3) + (parts.length ? ` (${parts.join("; ")})` : "");
}

function hitView(hit, number, answers, result, collection) {
  const own = answers.filter((one) => one.passage_id === hit.id);
  const first = own[0], title = hit.title || hit.document;
  const [from, to] = first ? [first.document_start, first.document_end] : [hit.start, hit.end];
  const link = { passage: hit.id, version: result.index_version };
  if (first) Object.assign(link, { start: first.start, end: first.end });
  const about = [hit.title && `“${hit.title}”`, hit.section, hit.source, `document ${hit.document}`];
  return {
    anchor: `p${number}`,
    title,
    place: [hit.section, hit.source, `passage ${hit.id}`, `characters ${hit.start}–${hit.end}`]
      .filter(Boolean).map(apart).join(" · "),
    pieces: pieces(hit.text, own.map((one) => ({ ...one, best: one === answers[0] }))),
    retriever: retriever(hit),
    reader: first
      ? `relevance ${first.relevance.toFixed(3)}; span ${first.span_score.toFixed(3)}; ${percent(first.score)} sure`
      : result.answers ? "gives no answer from here" : "not asked",
    href: `/document?${new URLSearchParams(link)}#passage`,
    citation: `${first ? `“${first.text}” — ` : ""}${about.filter(Boolean).join(", ")}, characters ${from}–${to}. `
      + `${collection}, version ${result.index_version}, passage ${hit.id}.`,
  };
}

/** What is shown of a result of /v1/answer or /v1/search. */
export function view(result, collection, milliseconds) {
  const answers = result.answers ?? [], best = answers[0];
  const hits = result.hits.map((hit, n) => hitView(hit, n + 1, answers, result, collection));
  const from = best && hits[result.hits.findIndex((hit) => hit.id === best.passage_id)];
  const facts = [
    `${hits.length} ${hits.length === 1 ? "passage" : "passages"} ${HOW[result.mode]}`,
    `${Math.floor(milliseconds + 0.5)} ms`,
    `${apart(collection)}, version ${result.index_version}`,
    apart(result.model_id),
  ];
  if (result.truncated) facts.push("the question was longer than the model reads: its end was left out");
  return {
    answer: best ? best.text : result.answers ? "No answer was found" : "The nearest passages",
    sure: best ? `${percent(best.score)} sure`
      : result.answers ? "None of the passages answers this convincingly. The nearest are below."
      : "This server only searches.",
    from: from ? `from ${apart(from.title)}` : "",
    from_href: from ? `#${from.anchor}` : "",
    others: answers.length > 1
      ? `Or: ${answers.slice(1).map((one) => `${apart(one.text)} (${percent(one.score)})`).join(", ")}` : "",
    found: Boolean(best),
    hits,
    facts: facts.join(" · "),
  };
}

function start() {
  const byId = (id) => document.getElementById(id);
  const form = byId("ask"), box = byId("q"), out = byId("out"), said = byId("said");
  const { collection, answers } = document.body.dataset;
  const fields = { q: "", mode: "auto", k: "10", where: "" };
  const seen = new Map(); // so that Back shows what was there
  let running = null, timer = 0;

  const clone = (id) => byId(id).content.cloneNode(true);
  const part = (root, name) => root.querySelector(`[data-f="${name}"]`);
  const fill = (root, name, text) => { part(root, name).textContent = text; };

  function marked(found) {
    return found.map(([text, kind]) => {
      if (!kind) return document.createTextNode(text);
      const mark = document.createElement("mark");
      mark.className = kind;
      mark.textContent = text;
      return mark;
    });
  }

  function passage(one) {
    const root = clone("hit");
    root.querySelector("li").id = one.anchor;
    for (const name of ["title", "place", "retriever", "reader", "citation"]) fill(root, name, one[name]);
    for (const name of ["open-name", "cite-name"]) fill(root, name, `: ${one.title}`);
    part(root, "text").replaceChildren(...marked(one.pieces));
    part(root, "open").href = one.href;
    root.querySelector("[data-copy]").hidden = false;
    return root;
  }

  function show(...nodes) {
    clearTimeout(timer);
    out.removeAttribute("aria-busy");
    out.replaceChildren(...nodes);
  }

  function showResult(shown) {
    if (!shown.hits.length) {
      message("Nothing was found", "No passage goes with this question"
        + (form.where.value ? " and the filter. Try it without the filter." : "."));
      return;
    }
    const root = clone("result");
    for (const name of ["answer", "sure", "from", "others", "facts"]) fill(root, name, shown[name]);
    for (const name of ["from", "others"]) part(root, name).hidden = !shown[name];
    part(root, "from").href = shown.from_href;
    part(root, "answer").classList.toggle("none", !shown.found);
    part(root, "hits").replaceChildren(...shown.hits.map(passage));
    show(root);
    said.textContent = `${shown.answer}. ${shown.sure} ${shown.from}. ${shown.facts}`;
  }

  function message(title, detail, ...more) {
    const section = document.createElement("section"), head = document.createElement("h2");
    const text = document.createElement("p");
    section.className = "state";
    head.textContent = title;
    text.textContent = detail;
    section.append(head, text, ...more);
    show(section);
    said.textContent = `${title}. ${detail}`;
  }

  function link(text, href) {
    const line = document.createElement("p"), made = document.createElement("a");
    made.className = "button";
    made.textContent = text;
    made.href = href;
    line.append(made);
    return line;
  }

  // Counts down, and then asks again: what the server asked for.
  function countdown(button, seconds) {
    button.addEventListener("click", (event) => { event.preventDefault(); ask(); });
    const tick = () => {
      if (seconds <= 0) { ask(); return; }
      button.textContent = `Ask again, in ${seconds} s by itself`;
      seconds -= 1;
      timer = setTimeout(tick, 1000);
    };
    tick();
  }

  const TITLES = {
    401: "Sign in first", 413: "That is too much", 422: "That cannot be asked", 429: "Too many are asking",
    503: "Not ready", 504: "That took too long",
  };

  async function refused(response, mine) {
    let problem = {};
    try { problem = await response.json(); } catch { /* no problem details: of a proxy, perhaps */ }
    if (mine !== running) return;
    const { status } = response, title = TITLES[status] ?? "That did not work";
    const places = (problem.errors ?? []).map((one) => `${one.place.replace("body.", "")}: ${one.message}`);
    const detail = [problem.detail ?? `The server says ${status}.`, ...places].join(" ");
    const again = link("Ask again", url());
    if (status === 401) {
      message(title, "This collection is asked with a key.", link("Sign in", `/signin${url().slice(1)}`));
    } else if (status === 429 || status === 503) {
      message(title, detail, again);
      countdown(again.firstChild, Math.max(1, Number(response.headers.get("retry-after")) || 5));
    } else if (status >= 500) message(title, detail, again);
    else message(title, detail);
  }

  function url() {
    const given = Object.entries(fields).map(([name, usual]) => [name, form[name].value.trim() || usual]);
    const query = `${new URLSearchParams(given.filter(([name, value]) => value !== fields[name]))}`;
    return query ? `/?${query}` : "/";
  }

  async function ask() {
    clearTimeout(timer);
    running?.abort();
    const mine = running = new AbortController(), key = url();
    document.title = `${box.value.trim()} · ${collection}`;
    out.setAttribute("aria-busy", "true");
    said.textContent = "Searching";
    const body = {
      question: box.value, k: Number(form.k.value) || 10, mode: form.mode.value,
      filters: conditions(form.where.value),
    };
    const began = performance.now();
    try {
      const response = await fetch(answers ? "/v1/answer" : "/v1/search", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: mine.signal,
      });
      if (mine !== running) return;
      if (!response.ok) { await refused(response, mine); return; }
      const shown = view((await response.json()).results[0], collection, performance.now() - began);
      if (mine !== running) return;
      seen.delete(key);
      seen.set(key, shown);
      if (seen.size > 20) seen.delete(seen.keys().next().value);
      showResult(shown);
    } catch (error) {
      if (mine === running && error.name !== "AbortError") {
        message("The server cannot be reached", "Is it running, and is this machine connected?", link("Ask again", key));
      }
    }
  }

  function clear() {
    running?.abort();
    running = null;
    show(clone("empty"));
    said.textContent = "";
    document.title = collection;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!box.value.trim()) return;
    if (url() !== location.pathname + location.search) history.pushState(null, "", url());
    ask();
  });

  addEventListener("popstate", () => {
    const query = new URLSearchParams(location.search);
    for (const [name, usual] of Object.entries(fields)) form[name].value = query.get(name) ?? usual;
    const kept = seen.get(url());
    if (!box.value.trim()) clear();
    else if (kept) {
      running?.abort();
      running = null;
      document.title = `${box.value} · ${collection}`;
      showResult(kept);
    } else ask();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape" && (!typing || typing === box)) {
      event.preventDefault();
      if (running || box.value) {
        box.value = "";
        if (location.search) history.pushState(null, "", "/");
        clear();
      }
      box.focus();
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const citation = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(citation.textContent);
    } catch { // not allowed, or not over HTTPS
      getSelection().selectAllChildren(citation);
      document.execCommand("copy");
    }
    button.textContent = said.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });

  for (const one of document.querySelectorAll("[data-copy], .keys")) one.hidden = false;
  const again = out.querySelector("[data-retry]");
  if (again) countdown(again, Number(again.dataset.retry));
}

if (globalThis.document) start();
