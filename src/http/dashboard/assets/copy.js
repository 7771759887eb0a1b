// A table as it is on the screen, as CSV for a spreadsheet.

// Cells that a spreadsheet would run as a formula, and separators that some spreadsheet splits a cell at: those of the
// server's CSV (src/report/csv.rs).
const FORMULA = /^[\p{White_Space}\p{M}\p{Z}\p{Cc}\p{Cf}\u115f\u1160\u2800\u3164\uffa0]*[=+\-@＝＋－＠﹦﹢﹣﹫]/u;
const SEPARATOR = /[;\t]/;

/** The table's heads and rows as CSV (RFC 4180), as the screen has them; moments as in the report. */
export function csvOf(table) {
  const rows = [...table.rows].map((row) => lineOf([...row.cells].map(textOf)));
  return `${rows.join('\r\n')}\r\n`;
}

function textOf(cell) {
  const { csv } = cell.dataset;
  if (csv !== undefined) return csv;
  const copy = cell.cloneNode(true);
  for (const hidden of copy.querySelectorAll('[aria-hidden="true"], .unseen')) hidden.remove();
  // Parts that stand below each other are told apart.
  for (const remark of copy.querySelectorAll('.remark')) remark.prepend(' ');
  return copy.textContent.replaceAll(/\s+/g, ' ').trim();
}

function lineOf(cells) {
  const isSplit = cells.some((text) => SEPARATOR.test(text));
  return cells.map((text) => {
    const safe = FORMULA.test(text) ? `'${text}` : text;
    return isSplit || /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }).join(',');
}

/** Puts the text into the clipboard; throws where the browser does not let it. */
export async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages without TLS have no clipboard but this.
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (!copied) throw new Error('the browser keeps its clipboard to itself');
  return undefined;
}
