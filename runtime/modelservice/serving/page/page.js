"use strict";
(() => {
  const asked = JSON.parse(document.getElementById("asked").textContent);
  const BATCH = 500; // rows of a request for a table
  const MOST_BARS = 12;
  const PREVIEW = 10;
  const PAUSE = 150; // milliseconds of quiet before what is typed is asked
  const TRIES = 5;
  const byId = (id) => document.getElementById(id);

  function element(name, text, look) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (look) made.className = look;
    return made;
  }

  const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
  const figure = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));
  const percent = (value) => `${(100 * value).toFixed(1)} %`;

  /* Ask the server; 429 and 503 are asked again when they say so. */
  async function ask(path, body, signal) {
    const json = !(body instanceof Blob || body instanceof FormData);
    const request = { method: "POST", signal, body: json ? JSON.stringify(body) : body };
    if (json) request.headers = { "content-type": "application/json" };
    for (let left = TRIES; ; left -= 1) {
      let answer;
      try {
        answer = await fetch(path, request);
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Error("The server was not reached. Is it still there?");
      }
      if ((answer.status === 429 || answer.status === 503) && left > 1) {
        await sleep(Math.min(Number(answer.headers.get("retry-after")) || 1, 30));
        continue;
      }
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      let said = text;
      try {
        said = JSON.parse(text).error ?? text;
      } catch { /* it is no JSON, and shown as it is */ }
      throw new Error(said || `The server answered with ${answer.status}.`);
    }
  }

  function bar(name, share, said, minus = false, from = 0) {
    const row = element("div", undefined, "bar");
    const track = element("span", undefined, "track");
    const filled = element("i", undefined, minus ? "minus" : "");
    filled.style.left = `${100 * from}%`;
    filled.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
    track.append(filled);
    row.append(element("span", name), track, element("span", said));
    return row;
  }

  function show(place, ...parts) {
    place.replaceChildren(...parts);
  }

  function showError(place, error) {
    const said = element("p", error.message, "error");
    said.setAttribute("role", "alert");
    show(place, said);
  }

  /* An answer to one row: probabilities as bars, a number large, anything else as it came. */
  function answerOf(prediction) {
    const probabilities = prediction?.probabilities;
    if (probabilities && !Array.isArray(probabilities)) {
      const sorted = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
      const bars = sorted.slice(0, MOST_BARS).map(([label, share]) => bar(label, share, percent(share)));
      const left = sorted.length - MOST_BARS;
      const more = left > 0 ? [element("p", `and ${left} more`, "faint")] : [];
      return [element("p", prediction.label, "value"), ...bars, ...more];
    }
    if (typeof prediction === "number") {
      const said = asked.target ? [element("p", asked.target, "faint")] : [];
      return [element("p", figure(prediction), "value"), ...said];
    }
    if (typeof prediction === "string") return [element("p", prediction, "value")];
    const text = element("pre", JSON.stringify(prediction, null, 1).slice(0, 20000), "scroll");
    text.tabIndex = 0;
    return [text];
  }

  const SCALES = { LogOdds: "log odds", Logit: "logit", Uncalibrated: "before calibration" };
  const WITHOUT = {
    IntegratedGradients: "for a plain picture",
    Occlusion: "with all of it hidden",
    SmoothGrad: "for a plain picture",
    TreePaths: "of training's rows",
  };

  function explanationOf(one, method, exact) {
    const what = one.label ?? one.output;
    const scale = SCALES[one.scale] ? `, in ${SCALES[one.scale]}` : "";
    const from = `${figure(one.base)} ${WITHOUT[method] ?? "of a typical row"}, ${figure(one.value)} for this`;
    const head = element("p", `${what}: ${from} (${method}${exact ? "" : ", estimated"}${scale})`, "faint");
    if (one.heat_map) {
      const image = element("img", undefined, "heat");
      image.src = `data:image/png;base64,${one.heat_map.b64}`;
      image.alt = `What speaks for ${what} in red, what against it in blue`;
      return [head, image];
    }
    if (Array.isArray(one.contributions)) return [head, words(one.contributions)];
    const sorted = Object.entries(one.contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const most = Math.max(...sorted.map(([, value]) => Math.abs(value)), Number.MIN_VALUE);
    const bars = sorted.slice(0, MOST_BARS).map(([name, value]) => {
      const share = Math.abs(value) / most / 2;
      return bar(name, share, (value > 0 ? "+" : "") + figure(value), value < 0, value < 0 ? 0.5 - share : 0.5);
    });
    const left = sorted.length - MOST_BARS;
    const more = left > 0 ? [element("p", `and ${left} more`, "faint")] : [];
    return [head, ...(one.path ? [pathOf(one, what)] : []), ...bars, ...more];
  }

  /* The way of a row through a tree, each condition with the rows of training that met all so far. */
  function pathOf(one, what) {
    const steps = element("ol");
    for (const step of one.path) {
      const cell = step.cell === null ? "it is missing" : `it is ${figure(step.cell)}`;
      const line = element("li", `${step.column} ${step.condition} `);
      line.append(element("span", `(${cell}): ${figure(step.rows)} of ${figure(one.rows)} rows, ${what} ${figure(step.expected)}`, "faint"));
      steps.append(line);
    }
    return steps;
  }

  function words(contributions) {
    const most = Math.max(...contributions.map((one) => Math.abs(one.contribution ?? 0)), Number.MIN_VALUE);
    const text = element("p");
    for (const one of contributions) {
      const marked = element("mark", one.word);
      const strength = Math.round((60 * Math.abs(one.contribution)) / most);
      const colour = one.contribution < 0 ? "var(--other)" : "var(--accent)";
      marked.style.background = `color-mix(in srgb, ${colour} ${strength}%, transparent)`;
      marked.title = figure(one.contribution);
      text.append(marked, " ");
    }
    return text;
  }

  /* What is typed: a row, a picture, or JSON. */
  const form = byId("form");
  const answer = byId("answer");
  const why = byId("why");
  let picture = null;
  let running = null;
  let waiting = 0;

  const PLAIN = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
  const hasComma = (at) => asked.commas.includes(at);

  /* A plain number as one; any other text is what a cell of a file would be, which the model reads as its training data. */
  function cellOf(input, at) {
    const text = input.value.trim();
    const column = asked.columns[at];
    input.removeAttribute("aria-invalid");
    if (text === "") return null;
    if (column.boolean) return text === "true";
    const isNumber = column.number && !hasComma(at) && PLAIN.test(text) && Number.isFinite(Number(text));
    return isNumber ? Number(text) : input.value;
  }

  function rowOf() {
    if (!asked.table) return JSON.parse(byId("row").value);
    const row = {};
    for (const input of form.querySelectorAll("[data-column]")) {
      const at = Number(input.dataset.column);
      row[asked.columns[at].name] = cellOf(input, at);
    }
    return row;
  }

  function mark(message) {
    for (const input of form.querySelectorAll("[data-column]")) {
      const name = asked.columns[Number(input.dataset.column)].name;
      if (message.includes(`.${name}`) || message.includes(`(${name})`)) input.setAttribute("aria-invalid", "true");
    }
  }

  function bodyOf(options) {
    if (!asked.pictures) return { instances: [rowOf()], ...options };
    if (!picture) throw new Error("Choose, drop or paste a picture first.");
    if (!options) return picture;
    const fields = new FormData();
    fields.append("image", picture);
    for (const [name, value] of Object.entries({ heat_map: "true", ...options })) fields.append(name, value);
    return fields;
  }

  /* What is asked for besides the usual: a method, and the label that it explains. */
  function optionsOf(prediction) {
    const method = byId("method")?.value;
    if (!method) return {};
    return asked.byLabel.includes(method) ? { method, label: prediction.label } : { method };
  }

  const isLive = () => asked.live || byId("method")?.value === "TreePaths"; // which asks for no other row

  async function answerNow(explains) {
    running?.abort();
    running = new AbortController();
    const signal = running.signal;
    let answered;
    try {
      answered = await ask(asked.predict, bodyOf(null), signal);
      const shown = asked.pictures ? [preview()] : [];
      show(answer, ...shown, ...answerOf(answered.predictions[0]));
    } catch (error) {
      if (error.name !== "AbortError") {
        showError(answer, error instanceof SyntaxError ? new Error(`This is no JSON: ${error.message}`) : error);
        mark(error.message);
        if (why) show(why);
      }
      return;
    }
    if (!why || !explains) return;
    try {
      const explained = await ask(asked.explain, bodyOf(optionsOf(answered.predictions[0])), signal);
      show(why, ...explanationOf(explained.explanations[0], explained.method, explained.exact));
    } catch (error) {
      if (error.name !== "AbortError") showError(why, error);
    }
  }

  let shownPicture = "";
  function preview() {
    URL.revokeObjectURL(shownPicture);
    shownPicture = URL.createObjectURL(picture);
    const image = element("img", undefined, "preview");
    image.src = shownPicture;
    image.alt = "The picture that was asked about";
    return image;
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(() => answerNow(isLive()), PAUSE);
  }

  function took(file) {
    picture = file;
    answerNow(isLive());
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answerNow(isLive());
  });
  byId("method")?.addEventListener("change", () => answerNow(true));
  form.addEventListener("reset", () => setTimeout(later, 0));
  if (asked.table) {
    form.addEventListener("input", (event) => {
      if (event.target.dataset.column) later();
    });
  }
  byId("explain")?.addEventListener("click", () => answerNow(true));
  byId("picture")?.addEventListener("change", (event) => event.target.files[0] && took(event.target.files[0]));
  if (asked.pictures) {
    document.addEventListener("paste", (event) => event.clipboardData.files[0] && took(event.clipboardData.files[0]));
  }

  /* A table: RFC 4180, separated as its header is. */
  function separatorOf(header) {
    const counted = [",", ";", "\t", "|"].map((one) => [header.split(one).length, one]);
    return counted.sort((one, other) => other[0] - one[0])[0][1];
  }

  function parseCsv(text) {
    text = text.replace(/^\ufeff/, "");
    const separator = separatorOf(text.slice(0, text.search(/\r?\n|$/)));
    const rows = [];
    let row = [], cell = "", quoted = false, was = false, line = 1, begun = 1;
    const endCell = () => { row.push(cell); cell = ""; was = false; };
    const endRow = () => {
      endCell();
      if (row.length > 1 || row[0] !== "") rows.push({ cells: row, line: begun });
      row = [];
    };
    for (let at = 0; at < text.length; at += 1) {
      const letter = text[at];
      if (letter === "\n") line += 1;
      if (quoted) {
        if (letter !== '"') cell += letter;
        else if (text[at + 1] === '"') { cell += '"'; at += 1; }
        else quoted = false;
      } else if (letter === '"' && cell === "" && !was) { quoted = true; was = true; }
      else if (letter === separator) endCell();
      else if (letter === "\n") { endRow(); begun = line; }
      else if (letter !== "\r" || text[at + 1] !== "\n") cell += letter;
    }
    if (quoted) throw new Error(`The quote that opens in line ${begun} is never closed.`);
    if (cell !== "" || row.length) endRow();
    if (rows.length < 2) throw new Error("There is a header and at least one row to be: the first line names the columns.");
    const header = rows.shift().cells.map((name) => name.trim());
    const uneven = rows.find((one) => one.cells.length !== header.length);
    if (uneven) {
      const cells = uneven.cells.length;
      throw new Error(`The row in line ${uneven.line} has ${cells} cells, the header ${header.length}: a cell that holds the separator needs quotes.`);
    }
    return { header, rows: rows.map((one) => one.cells), separator };
  }

  function instancesOf({ header, rows }) {
    const twice = header.find((name, at) => header.indexOf(name) !== at);
    if (twice !== undefined) throw new Error(`The header names ${twice || "an empty column"} twice.`);
    const missing = asked.columns.filter((column) => !header.includes(column.name)).map((column) => column.name);
    if (missing.length) {
      throw new Error(`The table has no column ${missing.join(", ")}. It has ${header.join(", ")}; add what is missing, with empty cells where nobody knows.`);
    }
    const places = asked.columns.map((column) => [column.name, header.indexOf(column.name)]);
    return rows.map((cells) => Object.fromEntries(places.map(([name, at]) => [name, cells[at] === "" ? null : cells[at]])));
  }

  function answersOf(predictions) {
    const first = predictions[0];
    if (typeof first !== "object" || first === null) {
      return { names: [`predicted_${asked.target ?? "value"}`], rows: predictions.map((one) => [one]) };
    }
    const labels = first.probabilities && !Array.isArray(first.probabilities) ? Object.keys(first.probabilities) : null;
    if (!labels) return { names: ["answer"], rows: predictions.map((one) => [JSON.stringify(one)]) };
    const names = [`predicted_${asked.target ?? "label"}`, ...labels.map((label) => `probability_${label}`)];
    return { names, rows: predictions.map((one) => [one.label, ...labels.map((label) => one.probabilities[label])]) };
  }

  function writeCsv(rows, separator) {
    const cell = (value) => {
      const text = value === null ? "" : String(value);
      return text.includes(separator) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return rows.map((row) => row.map(cell).join(separator) + "\r\n").join("");
  }

  function tableOf(header, rows) {
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const name of header) {
      const made = element("th", name);
      made.scope = "col";
      head.append(made);
    }
    const body = table.createTBody();
    for (const row of rows) {
      const made = body.insertRow();
      for (const value of row) made.insertCell().textContent = typeof value === "number" ? figure(value) : value;
    }
    const scroll = element("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "The first rows with their answers");
    scroll.append(table);
    return scroll;
  }

  let table = null;
  let download = "";
  async function predictTable(text, name) {
    const place = byId("table-answer");
    const mine = (table = {});
    try {
      await there;
      const parsed = parseCsv(text);
      const instances = instancesOf(parsed);
      const predictions = [];
      const progress = element("progress");
      progress.max = instances.length;
      progress.value = 0;
      progress.setAttribute("aria-label", "Rows that are answered");
      show(place, progress);
      for (let at = 0; at < instances.length; at += BATCH) {
        const answered = await ask(asked.predict, { instances: instances.slice(at, at + BATCH) });
        if (table !== mine) return; // another one was given meanwhile
        predictions.push(...answered.predictions);
        progress.value = predictions.length;
      }
      const answers = answersOf(predictions);
      const header = [...parsed.header, ...answers.names];
      const rows = parsed.rows.map((cells, at) => [...cells, ...answers.rows[at]]);
      URL.revokeObjectURL(download);
      download = URL.createObjectURL(new Blob([writeCsv([header, ...rows], parsed.separator)], { type: "text/csv" }));
      const link = element("a", `Save all ${rows.length} rows with their answers`);
      link.href = download;
      link.download = name.replace(/\.[^.]*$/, "") + "-predicted.csv";
      const said = element("p", `${rows.length} rows were answered. `);
      said.append(link);
      show(place, said, tableOf(header, rows.slice(0, PREVIEW)));
    } catch (error) {
      if (table === mine) showError(place, error);
    }
  }

  byId("csv")?.addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (file) predictTable(await file.text(), file.name);
  });
  byId("predict-csv")?.addEventListener("click", () => predictTable(byId("pasted").value, `${asked.name}.csv`));

  for (const zone of document.querySelectorAll("[data-drop]")) {
    const over = (is) => (event) => {
      event.preventDefault();
      zone.classList.toggle("over", is);
    };
    zone.addEventListener("dragover", over(true));
    zone.addEventListener("dragleave", over(false));
    zone.addEventListener("drop", async (event) => {
      over(false)(event);
      const file = event.dataTransfer.files[0];
      if (!file) return;
      if (zone.dataset.drop === "picture") took(file);
      else predictTable(await file.text(), file.name);
    });
  }

  /* Rows that are too long for the page: what they consist of is read from what the server says of its API. */
  function fieldOf(column, at) {
    const field = element("div", undefined, "field");
    const label = element("label", column.name);
    label.htmlFor = `in-${at}`;
    if (column.required) label.append(" ", element("span", "(required)", "faint"));
    const input = element(column.boolean ? "select" : "input");
    const example = hasComma(at) ? String(column.example).replace(".", ",") : column.example;
    if (column.boolean) for (const one of ["true", "false", ...(column.required ? [] : [""])]) input.add(new Option(one || "missing", one, one === String(column.example)));
    else Object.assign(input, { defaultValue: example, placeholder: "missing", inputMode: column.number ? "decimal" : "" });
    input.id = `in-${at}`;
    input.dataset.column = at;
    field.append(label, input);
    return field;
  }

  async function fetchRow() {
    const answered = await fetch(asked.schema);
    if (!answered.ok) throw new Error(`What a row consists of was not told (${answered.status}): load the page again.`);
    const told = await answered.json();
    const { schema, example } = told.paths[asked.predict].post.requestBody.content["application/json"];
    const row = example.instances[0];
    if (!asked.table) {
      byId("row").defaultValue = JSON.stringify(row);
      return;
    }
    const known = schema.properties.instances.items.anyOf[0].properties;
    asked.columns = Object.entries(known).map(([name, { type }]) => {
      const types = [type].flat();
      const kind = { number: types.includes("number"), boolean: types.includes("boolean") };
      return { name, ...kind, required: !types.includes("null"), example: row[name] };
    });
    const made = byId("made");
    made.append(...asked.columns.map(fieldOf));
    made.setAttribute("aria-busy", "false");
    byId("find").addEventListener("input", (event) => {
      const sought = event.target.value.toLowerCase();
      for (const field of made.querySelectorAll(".field")) field.hidden = !field.textContent.toLowerCase().includes(sought);
    });
  }

  const there = asked.schema ? fetchRow() : Promise.resolve(); // columns and an example

  byId("save")?.addEventListener("click", () => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ instances: [rowOf()] })], { type: "application/json" }));
    link.download = "request.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  for (const code of document.querySelectorAll("[data-code]")) {
    code.textContent = code.textContent.replaceAll("ORIGIN", location.origin);
  }
  there.then(() => asked.table && answerNow(isLive())).catch((error) => showError(answer, error));
})();
